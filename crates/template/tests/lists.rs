//! Lists as `docker volume ls` (28.2) prints them.

use swarm_template::{Formats, Header, Row, Value, align_tabs, json_array, json_array_compact, render_rows};

const FORMATS: Formats = Formats {
    table: "table {{.Driver}}\t{{.Name}}",
    raw: Some("name: {{.Name}}\ndriver: {{.Driver}}\n"),
    raw_quiet: Some("name: {{.Name}}"),
    quiet: "{{.Name}}",
};

fn list(format: &str) -> Result<String, String> {
    let header = Header::new([("Name", "VOLUME NAME"), ("Driver", "DRIVER"), ("Labels", "LABELS"), ("Size", "SIZE")]);
    let rows = ["a-very-long-name", "vol2", "vol10", "wöld", "漢字"].map(|name| {
        Row::new("formatter.volumeContext")
            .column("Name", name)
            .column("Driver", "local")
            .lazy("Size", || Value::from("N/A"))
            .labels([("com.example.a-b", "x"), ("z", "26")])
    });
    render_rows(FORMATS.resolve(format, false), &header, rows).map_err(|error| error.to_string())
}

#[test]
fn tables_align() {
    assert_eq!(
        list("table").unwrap(),
        "DRIVER    VOLUME NAME\n\
         local     a-very-long-name\n\
         local     vol2\n\
         local     vol10\n\
         local     wöld\n\
         local     漢字\n"
    );
    assert_eq!(
        list(r#"table {{.Name}}\t{{.Label "com.example.a-b"}}\t{{upper .Driver}}"#).unwrap(),
        "VOLUME NAME        a b       DRIVER\n\
         a-very-long-name   x         LOCAL\n\
         vol2               x         LOCAL\n\
         vol10              x         LOCAL\n\
         wöld               x         LOCAL\n\
         漢字               x         LOCAL\n"
    );
}

#[test]
fn headings_go_through_functions_unchanged() {
    let format = r#"table {{json .Name}}\t{{join (split .Name "a") "-"}}\t{{truncate .Name 3}}\t{{pad .Name 1 1}}"#;
    let lines: Vec<String> = list(format).unwrap().lines().map(String::from).collect();
    assert_eq!(lines[0], "VOLUME NAME          VOLUME NAME        VOLUME NAME    VOLUME NAME ");
    // `pad` has no header form, so the heading is padded on both sides.
    assert_eq!(lines[1], "\"a-very-long-name\"   --very-long-n-me   a-v            a-very-long-name ");
}

#[test]
fn header_that_fails_is_cut_short() {
    let format = r#"table {{range $i, $e := split .Labels ","}}{{$e}}{{end}}\t{{.Name}}"#;
    let text = list(format).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "");
    assert_eq!(lines[1], "com.example.a-b=xz=26   a-very-long-name");
    let text = list(r#"table {{index (split .Name "a") 0}}\t{{.Name}}"#).unwrap();
    assert_eq!(text.lines().next(), Some("86        VOLUME NAME"));
}

#[test]
fn other_formats() {
    assert!(list("raw").unwrap().starts_with("name: a-very-long-name\ndriver: local\n\nname: vol2\n"));
    assert_eq!(list("{{.Name}}").unwrap(), "a-very-long-name\nvol2\nvol10\nwöld\n漢字\n");
    assert_eq!(list("  {{.Name}} ").unwrap().lines().next(), Some("a-very-long-name"));
    assert_eq!(list("pretty").unwrap(), "pretty\n".repeat(5));
    assert_eq!(list("tablex {{.Name}}").unwrap().lines().next(), Some("x VOLUME NAME"));
    assert_eq!(list("table ").unwrap(), "\n".repeat(6));
    assert_eq!(list(r#"{{.Label "z"}}{{.Label "none"}}"#).unwrap(), "26\n".repeat(5));
    assert_eq!(
        list("json").unwrap().lines().next(),
        Some(r#"{"Driver":"local","Labels":"com.example.a-b=x,z=26","Name":"a-very-long-name","Size":"N/A"}"#)
    );
    assert_eq!(
        list(r"table {{.Name}}\n{{.Driver}}").unwrap().lines().take(4).collect::<Vec<_>>(),
        ["VOLUME NAME", "DRIVER", "a-very-long-name", "local"]
    );
}

#[test]
fn json_rows_escape_html() {
    let row = Row::new("t").column("A", "<&>").column("B", Value::Bool(true));
    let text = render_rows("json", &Header::new([]), [row]).unwrap();
    assert_eq!(text, "{\"A\":\"\\u003c\\u0026\\u003e\",\"B\":true}\n");
}

#[test]
fn quiet_replaces_the_keywords_only() {
    assert_eq!(FORMATS.resolve("table", true), "{{.Name}}");
    assert_eq!(FORMATS.resolve("raw", true), "name: {{.Name}}");
    assert_eq!(FORMATS.resolve("{{.Driver}}", true), "{{.Driver}}");
}

#[test]
fn unfit_formats_are_errors() {
    let unknown =
        "template parsing error: template: :1:12: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.volumeContext";
    assert_eq!(list(r"table {{.Name}}\t{{.Foo}}").unwrap_err(), unknown);
    assert_eq!(list("{{.Name").unwrap_err(), "template parsing error: template: :1: unclosed action");
    assert_eq!(
        list(r#"{{.Name "a"}}"#).unwrap_err(),
        "template parsing error: template: :1:2: executing \"\" at <.Name>: wrong number of args for Name: want 0 got 1"
    );
    assert_eq!(
        list("{{.Label 1}}").unwrap_err(),
        "template parsing error: template: :1:9: executing \"\" at <1>: expected string; found 1"
    );
    assert_eq!(
        list("{{.Label}}").unwrap_err(),
        "template parsing error: template: :1:2: executing \"\" at <.Label>: wrong number of args for Label: want 1 got 0"
    );
}

#[test]
fn columns_last_as_long_as_lines_have_them() {
    assert_eq!(align_tabs("a\tb\tc"), "a         b         c");
    assert_eq!(align_tabs("a\tb\n"), "a         b\n");
    assert_eq!(align_tabs("long-long-long\tb\nplain\nx\ty"), "long-long-long   b\nplain\nx         y");
    assert_eq!(align_tabs("a\t\nb\tccccccccccccc\td\n\te\tf\n"), "a         \nb         ccccccccccccc   d\n          e               f\n");
    assert_eq!(align_tabs(""), "");
}

#[test]
fn inspected_objects_form_an_array() {
    let none: [&str; 0] = [];
    assert_eq!(json_array(&none).unwrap(), "[]\n");
    assert_eq!(json_array(&[r#"{"a":1}"#]).unwrap(), "[\n    {\n        \"a\": 1\n    }\n]\n");
    assert_eq!(json_array_compact(&["{ \"a\": 1 }", "2"]).unwrap(), "[{\"a\":1},2]\n");
}
