//! Nothing panics, whatever the text.

use proptest::prelude::*;
use swarm_template::{
    Inspector, Limits, Template, Value, align_tabs, client_functions, duration, ellipsis, json, natural, service_functions, size,
};

/// Pieces that make random text look like templates.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    ".",
    ".a",
    ".b.c",
    "$",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    ",",
    "if ",
    "else ",
    "end",
    "range ",
    "with ",
    "define ",
    "template ",
    "block ",
    "break",
    "continue",
    "nil",
    "true",
    "\"s\"",
    "`r`",
    "'c'",
    "1",
    "-2",
    "1.5",
    "0x",
    "1e9",
    "{{end}}",
    "{{else}}",
    "{{/*",
    "*/}}",
    "print ",
    "printf ",
    "\"%*[1]d %x %!\"",
    "index ",
    "slice ",
    "len ",
    "eq ",
    "lt ",
    "and ",
    "or ",
    "not ",
    "json ",
    "pad ",
    "truncate ",
    "split ",
    "join ",
    "html ",
    "js ",
    "call ",
    "é",
    "\u{0}",
    "\\",
    "%",
    "{{if 1}}",
    "{{range 9}}",
    "{{.}}",
    "{{$x := .a}}",
];

fn template_like() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

fn data() -> Value {
    let json = serde_json::json!({
        "a": [1, "x", null, {"c": true}], "b": {"c": "text", "d": 1.5}, "e": ""
    });
    Value::from(&json)
}

fn run(text: &str) {
    let limits = Limits { steps_max: 2_000, bytes_max: 1 << 16, depth_max: 100 };
    if let Ok(template) = Template::parse(text, &client_functions()) {
        let (output, _) = template.limits(limits).render_partly(&data());
        assert!(output.len() <= limits.bytes_max);
    }
    let _ = Template::parse(text, &service_functions());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn templates_never_panic(text in any::<String>()) {
        run(&text);
        run(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn template_like_text_never_panics(text in template_like()) {
        run(&text);
        run(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn printf_never_panics(format in "[%\\[\\]*.0-9+#a-zA-Z-]{0,12}", n in any::<i64>(), f in any::<f64>()) {
        let format = format.replace('\\', "");
        run(&format!("{{{{printf \"{format}\" {n} {f:e} \"text\" .a .b nil}}}}"));
    }

    #[test]
    fn inspection_never_panics(template in template_like(), json in any::<String>()) {
        if let Ok(inspector) = Inspector::parse(&template) {
            let _ = inspector.render(None, &json);
        }
    }

    #[test]
    fn text_without_actions_stays_as_it_is(text in "[^{]*") {
        let template = Template::parse(&text, &client_functions()).unwrap();
        prop_assert_eq!(template.render(&Value::Nil).unwrap(), text);
    }

    #[test]
    fn durations_survive_being_written(nanos in any::<i64>()) {
        prop_assert_eq!(duration::parse(&duration::format(nanos)), Ok(nanos));
    }

    #[test]
    fn amounts_never_panic(text in any::<String>(), digits in "[0-9.e+/_ -]{0,30}[kmgtpib]{0,3}") {
        for text in [&text, &digits] {
            let _ = size::memory_bytes(text);
            let _ = size::nano_cpus(text);
            let _ = duration::parse(text);
        }
    }

    #[test]
    fn natural_order_is_an_order(a in "[a0-2]{0,6}", b in "[a0-2]{0,6}", c in "[a0-2]{0,6}") {
        prop_assert_eq!(natural::compare(&a, &b), natural::compare(&b, &a).reverse());
        prop_assert_eq!(natural::compare(&a, &b).is_eq(), a == b);
        if natural::compare(&a, &b).is_le() && natural::compare(&b, &c).is_le() {
            prop_assert!(natural::compare(&a, &c).is_le());
        }
    }

    #[test]
    fn json_text_keeps_its_meaning(value in json_value()) {
        let text = value.to_string();
        let indented = json::indent(&text, "  ").unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&indented).unwrap(), value);
        prop_assert_eq!(&json::compact(&indented).unwrap(), &text);
        let parsed = json::parse(&text).unwrap();
        let rewritten: serde_json::Value = serde_json::from_str(&json::to_json(&parsed)).unwrap();
        prop_assert_eq!(rewritten.to_string(), text);
    }

    #[test]
    fn text_helpers_never_panic(text in any::<String>(), width in 0usize..20) {
        let _ = ellipsis(&text, width);
        let aligned = align_tabs(&text);
        prop_assert_eq!(aligned.matches('\n').count(), text.matches('\n').count());
        let _ = json::parse(&text);
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
