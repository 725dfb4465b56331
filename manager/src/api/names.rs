//! Names for services whose creator gave none.

/// What a service may be like.
const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "ample", "bold", "brave", "brisk", "bright", "calm", "candid", "careful", "cheerful", "clear", "clever",
    "cosy", "crisp", "curious", "daring", "deft", "eager", "early", "earnest", "easy", "fair", "fluent", "fond", "frank", "fresh",
    "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid",
    "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "placid", "polite", "prompt", "proud", "quick", "quiet", "ready",
    "serene", "sharp", "silent", "silver", "smart", "smooth", "steady", "sunny", "swift", "tidy", "trusty", "upbeat", "vivid", "warm",
    "wise", "witty", "zealous",
];

/// Whom it is named after.
const SURNAMES: &[&str] = &[
    "abel",
    "agnesi",
    "archimedes",
    "babbage",
    "banach",
    "bassi",
    "bernoulli",
    "bohr",
    "boole",
    "cantor",
    "cauchy",
    "cavendish",
    "copernicus",
    "curie",
    "darwin",
    "dijkstra",
    "einstein",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fourier",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "goedel",
    "hamilton",
    "herschel",
    "hertz",
    "hilbert",
    "hopper",
    "hypatia",
    "jacobi",
    "kepler",
    "khayyam",
    "knuth",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "laplace",
    "leavitt",
    "leibniz",
    "liskov",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "mirzakhani",
    "napier",
    "newton",
    "nightingale",
    "noether",
    "ohm",
    "pascal",
    "pasteur",
    "perlman",
    "planck",
    "poincare",
    "ptolemy",
    "pythagoras",
    "ramanujan",
    "riemann",
    "ritchie",
    "rubin",
    "shannon",
    "tesla",
    "thales",
    "torvalds",
    "turing",
    "volta",
    "weierstrass",
    "wiles",
    "wirth",
    "yalow",
];

/// A name of two words. `random` decides which of several thousand.
pub(super) fn name(random: u64) -> String {
    let pick = |words: &[&'static str], random: u64| {
        let index = random % words.len() as u64;
        words[usize::try_from(index).expect("an index into a short list")]
    };
    let adjective = pick(ADJECTIVES, random);
    format!("{adjective}_{}", pick(SURNAMES, random / ADJECTIVES.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use swarm_types::validate::check_service_name;

    #[test]
    fn every_name_is_a_service_name_and_there_are_thousands() {
        let all: BTreeSet<String> = (0..(ADJECTIVES.len() * SURNAMES.len()) as u64).map(name).collect();
        assert_eq!(all.len(), ADJECTIVES.len() * SURNAMES.len());
        assert!(all.len() > 5000);
        assert!(all.iter().all(|n| check_service_name(n).is_ok()));
        let _ = name(u64::MAX);
    }
}
