//! Durations, sizes and order, with the results of Go and docker.

use std::cmp::Ordering;

use swarm_template::{duration, ellipsis, human, json, natural, size, text_width};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[test]
fn durations_are_read_as_go_reads_them() {
    for (text, nanos) in [
        ("1h30m", 90 * MINUTE),
        ("1.5s", 1_500_000_000),
        (".5s", SECOND / 2),
        ("5.s", 5 * SECOND),
        ("-1s", -SECOND),
        ("+5s", 5 * SECOND),
        ("0", 0),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("1μs", 1_000),
        ("3ms20ns", 3_000_020),
        ("9223372036854775807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("1.000000000000000000001s", SECOND),
        ("39h9m14.425s", 39 * HOUR + 9 * MINUTE + 14_425_000_000),
        ("0.3333333333333333333h", 20 * MINUTE),
    ] {
        assert_eq!(duration::parse(text), Ok(nanos), "{text}");
    }
}

#[test]
fn wrong_durations_are_refused_in_gos_words() {
    for (text, error) in [
        ("x", r#"time: invalid duration "x""#),
        ("", r#"time: invalid duration """#),
        ("-", r#"time: invalid duration "-""#),
        (".s", r#"time: invalid duration ".s""#),
        ("--1s", r#"time: invalid duration "--1s""#),
        ("1", r#"time: missing unit in duration "1""#),
        ("1h1", r#"time: missing unit in duration "1h1""#),
        ("1x", r#"time: unknown unit "x" in duration "1x""#),
        ("1d", r#"time: unknown unit "d" in duration "1d""#),
        ("1 s", r#"time: unknown unit " s" in duration "1 s""#),
        ("1\"s", r#"time: unknown unit "\"s" in duration "1\"s""#),
        ("1é", r#"time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
        ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
        ("99999999999999999999h", r#"time: invalid duration "99999999999999999999h""#),
        ("3000000h", r#"time: invalid duration "3000000h""#),
    ] {
        assert_eq!(duration::parse(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn durations_are_written_as_go_writes_them() {
    for (nanos, text) in [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (4 * MINUTE + 5 * SECOND, "4m5s"),
        (4 * MINUTE + 5_001_000_000, "4m5.001s"),
        (90 * MINUTE, "1h30m0s"),
        (5 * HOUR + 6 * MINUTE + 7_001_000_000, "5h6m7.001s"),
        (8 * MINUTE + 1, "8m0.000000001s"),
        (-SECOND, "-1s"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ] {
        assert_eq!(duration::format(nanos), text);
    }
}

#[test]
fn long_durations_are_rounded_for_people() {
    for (nanos, text) in [
        (-5 * SECOND, "Less than a second"),
        (450_000_000, "Less than a second"),
        (SECOND, "1 second"),
        (45 * SECOND, "45 seconds"),
        (59 * SECOND, "59 seconds"),
        (60 * SECOND, "About a minute"),
        (119 * SECOND, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE + 59 * SECOND, "59 minutes"),
        (HOUR, "About an hour"),
        (HOUR + 29 * MINUTE, "About an hour"),
        (HOUR + 31 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY - 31 * MINUTE, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY + 13 * HOUR, "14 days"),
        (2 * 7 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (2 * 30 * DAY, "2 months"),
        (23 * 30 * DAY, "23 months"),
        (2 * 365 * DAY, "2 years"),
        (3 * 365 * DAY, "3 years"),
    ] {
        assert_eq!(human::duration(nanos), text, "{nanos}");
    }
}

#[test]
fn sizes_have_four_digits() {
    for (bytes, binary, decimal) in [
        (0.0, "0B", "0B"),
        (999.0, "999B", "999B"),
        (1000.0, "1000B", "1kB"),
        (1024.0, "1KiB", "1.024kB"),
        (1536.0 * 1024.0 * 1024.0, "1.5GiB", "1.611GB"),
        (1e6, "976.6KiB", "1MB"),
        (3.42 * 1024.0 * 1024.0, "3.42MiB", "3.586MB"),
        (8_589_934_592.0, "8GiB", "8.59GB"),
    ] {
        assert_eq!(human::bytes(bytes), binary);
        assert_eq!(human::decimal_bytes(bytes), decimal);
    }
}

#[test]
fn memory_is_read_as_docker_reads_it() {
    for (text, bytes) in [
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("64kb", 64 << 10),
        ("64KiB", 64 << 10),
        ("1 k", 1024),
        ("5", 5),
        ("5 ", 5),
        ("5b", 5),
        ("5 b", 5),
        (".5m", 1 << 19),
        ("5.", 5),
        ("1e3", 1000),
        ("+5", 5),
        ("1_0", 10),
        ("2T", 2 << 40),
        ("1p", 1 << 50),
    ] {
        assert_eq!(size::memory_bytes(text), Ok(bytes), "{text}");
    }
    for (text, error) in [
        ("x", "invalid size: 'x'"),
        ("", "invalid size: ''"),
        ("é", "invalid size: 'é'"),
        ("inf", "invalid size: 'inf'"),
        ("-1", "invalid size: '-1'"),
        ("5zz", "invalid suffix: 'zz'"),
        ("5bb", "invalid suffix: 'bb'"),
        ("5mi", "invalid suffix: 'mi'"),
        ("5KIBS", "invalid suffix: 'KIBS'"),
        ("5é", "invalid suffix: 'é'"),
        ("1  k", r#"strconv.ParseFloat: parsing "1 ": invalid syntax"#),
        ("1.2.3", r#"strconv.ParseFloat: parsing "1.2.3": invalid syntax"#),
        ("1k5", r#"strconv.ParseFloat: parsing "1k5": invalid syntax"#),
        (" 5", r#"strconv.ParseFloat: parsing " 5": invalid syntax"#),
        ("0x10", r#"strconv.ParseFloat: parsing "0x10": invalid syntax"#),
    ] {
        assert_eq!(size::memory_bytes(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn processors_are_exact_to_the_billionth() {
    for (text, nanos) in [
        ("0.5", 500_000_000),
        ("1", 1_000_000_000),
        ("+.5", 500_000_000),
        ("1.", 1_000_000_000),
        ("1/4", 250_000_000),
        ("1e-9", 1),
        ("0.000000001", 1),
        ("0.10000000000000000000000000000000000", 100_000_000),
        ("-1", -1_000_000_000),
        ("0", 0),
        ("0e999999999", 0),
        ("9223372036", 9_223_372_036_000_000_000),
    ] {
        assert_eq!(size::nano_cpus(text), Ok(nanos), "{text}");
    }
    for (text, error) in [
        ("x", "failed to parse x as a rational number"),
        ("", "failed to parse  as a rational number"),
        (".", "failed to parse . as a rational number"),
        ("1e", "failed to parse 1e as a rational number"),
        ("1/0", "failed to parse 1/0 as a rational number"),
        ("1/-2", "failed to parse 1/-2 as a rational number"),
        ("1.5.5", "failed to parse 1.5.5 as a rational number"),
        (" 1", "failed to parse  1 as a rational number"),
        ("1.0000000001", "value is too precise"),
        ("1/3", "value is too precise"),
        ("1e-10", "value is too precise"),
        ("1e-400", "value is too precise"),
        ("1e400", "value is too large"),
    ] {
        assert_eq!(size::nano_cpus(text).unwrap_err().to_string(), error);
    }
    assert_eq!(size::format_cpus(500_000_000), "0.500");
    assert_eq!(size::format_cpus(1_234_500_000), "1.235");
    assert_eq!(size::format_cpus(0), "0.000");
}

#[test]
fn numbers_within_names_sort_as_numbers() {
    let sorted = [
        "",
        "0",
        "00",
        "1",
        "01",
        "2",
        "10",
        "a",
        "a0",
        "a00",
        "a1",
        "a01",
        "a2",
        "a10",
        "a1000000000000000000000",
        "ab1",
        "abc1",
        "abc2",
        "abc12",
        "b",
        "web10",
        "web.2",
        "web.10",
        "é",
    ];
    for (i, a) in sorted.iter().enumerate() {
        for (j, b) in sorted.iter().enumerate() {
            assert_eq!(natural::compare(a, b), i.cmp(&j), "{a} {b}");
        }
    }
    assert_eq!(natural::compare("a01b2", "a1b3"), Ordering::Greater);
}

#[test]
fn text_is_cut_to_terminal_cells() {
    for (text, width, cut) in [
        ("hello", 10, "hello"),
        ("hello", 5, "hello"),
        ("hello", 4, "hel…"),
        ("hello", 1, "h"),
        ("hello", 0, ""),
        ("漢字漢字", 8, "漢字漢字"),
        ("漢字漢字", 7, "漢字漢…"),
        ("漢字漢字", 6, "漢字…"),
        ("", 1, ""),
        ("héllo wörld", 6, "héllo…"),
    ] {
        assert_eq!(ellipsis(text, width), cut, "{text} {width}");
    }
    assert_eq!(text_width("wöld"), 4);
    assert_eq!(text_width("漢字"), 4);
    assert_eq!(text_width("e\u{301}"), 1);
    assert_eq!(text_width("🐳"), 2);
}

#[test]
fn json_is_laid_out_without_changing_it() {
    let text = r#" {"b":[ ],"a":{"x":1.0,"y":[1,{"z":"q\"{,"}]} , "e":{}, "f":null}"#;
    let indented = "{\n    \"b\": [],\n    \"a\": {\n        \"x\": 1.0,\n        \"y\": [\n            1,\n            {\n                \"z\": \"q\\\"{,\"\n            }\n        ]\n    },\n    \"e\": {},\n    \"f\": null\n}";
    assert_eq!(json::indent(text, "    ").unwrap(), indented);
    let compacted = r#"{"b":[],"a":{"x":1.0,"y":[1,{"z":"q\"{,"}]},"e":{},"f":null}"#;
    assert_eq!(json::compact(text).unwrap(), compacted);
    assert_eq!(json::indent("[]", "  ").unwrap(), "[]");
    for wrong in ["", "{", "[1,]", "{\"a\"}", "01", "1 2", "\"\u{1}\"", "nul", "[1}", "\"\\x\""] {
        assert!(json::indent(wrong, " ").is_err(), "{wrong}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(json::parse(&deep).unwrap_err(), json::JsonError::TooDeep);
}
