//! What the recorded templates do not cover: registered functions, service templates, limits.

use swarm_template::{
    Function, FunctionError, Functions, Limits, Map, MissingKey, Param, Struct, Template, Value, client_functions, service_template,
};

fn render(template: &str, data: &Value) -> Result<String, String> {
    let template = Template::parse(template, &client_functions()).map_err(|error| error.to_string())?;
    template.render(data).map_err(|error| error.to_string())
}

fn task() -> Value {
    let service = Struct::new("struct").field("ID", "svc").field("Name", "web").field("Labels", Value::string_map([("tier", "front")]));
    let platform = Struct::new("template.Platform").field("Architecture", "x86_64").field("OS", "linux");
    let node = Struct::new("struct").field("ID", "node").field("Hostname", "host-1").field("Platform", platform);
    let task = Struct::new("struct").field("ID", "t").field("Name", "web.1.t").field("Slot", "1");
    Struct::pointer("template.Context").field("Service", service).field("Node", node).field("Task", task).into()
}

fn expand(template: &str) -> Result<String, String> {
    let extra = Functions::new().with(
        "env",
        Function::new(&[Param::String], |args| match &args[0] {
            Value::String(name) if &**name == "HOME" => Ok(Value::from("/root")),
            _ => Err(FunctionError::new("no such variable")),
        }),
    );
    let template = service_template(template, &extra).map_err(|error| error.to_string())?;
    template.render(&task()).map_err(|error| error.to_string())
}

#[test]
fn service_templates_see_service_node_and_task() {
    for (template, text) in [
        ("{{.Service.Name}}-{{.Task.Slot}}.{{.Node.Hostname}}", "web-1.host-1"),
        ("{{.Service.Labels.tier}}/{{.Node.Platform.OS}}", "front/linux"),
        (r#"{{join "-" .Service.ID .Node.ID "x"}}"#, "svc-node-x"),
        (r#"{{.Task.Name | join "," "a"}}"#, "a,web.1.t"),
        (r#"{{join ","}}"#, ""),
        (r#"{{env "HOME"}}"#, "/root"),
        ("plain {text}", "plain {text}"),
    ] {
        assert_eq!(expand(template).as_deref(), Ok(text), "{template}");
    }
}

#[test]
fn service_templates_refuse_what_is_not_there() {
    for (template, error) in [
        ("{{.Nope}}", "template: expansion:1:2: executing \"expansion\" at <.Nope>: can't evaluate field Nope in type *template.Context"),
        (
            "{{.Service.Labels.nope}}",
            "template: expansion:1:10: executing \"expansion\" at <.Service.Labels.nope>: map has no entry for key \"nope\"",
        ),
        ("{{CONTAINER_IP}}", "template: expansion:1: function \"CONTAINER_IP\" not defined"),
        ("{{.Service.ID", "template: expansion:1: unclosed action"),
        (r#"{{env "X"}}"#, "template: expansion:1:2: executing \"expansion\" at <env \"X\">: error calling env: no such variable"),
        ("{{join 1}}", "template: expansion:1:7: executing \"expansion\" at <1>: expected string; found 1"),
        // The functions of the client are not there.
        ("{{json .}}", "template: expansion:1: function \"json\" not defined"),
    ] {
        assert_eq!(expand(template).unwrap_err(), error);
    }
}

#[test]
fn missing_keys_can_be_zero_values() {
    let data = Map::any().entry("labels", Value::string_map([("a", "1")])).into();
    let template = Template::parse("[{{.labels.b}}]", &Functions::new()).unwrap();
    assert_eq!(template.render(&data).unwrap(), "[<no value>]");
    assert_eq!(template.missing_key(MissingKey::Zero).render(&data).unwrap(), "[]");
}

#[test]
fn methods_and_functions_as_values_can_be_called() {
    let double = Function::new(&[Param::Int], |args| match args[0] {
        Value::Int(n) => Ok(Value::Int(n * 2)),
        _ => Err(FunctionError::new("not an int")),
    });
    let inner = Struct::new("T").method("Double", double.clone()).field("F", double);
    let data = Struct::pointer("Outer").embed("T", inner).into();
    assert_eq!(render("{{.Double 4}} {{4 | .Double}} {{call .F 3}} {{.T.Double 1}}", &data).unwrap(), "8 8 6 2");
    assert_eq!(
        render("{{.F}}", &data).unwrap_err(),
        "template: :1:2: executing \"\" at <.F>: can't print {{.F}} of type func(int) interface {}".replace("at <.F>", "at <{{.F}}>")
    );
    assert_eq!(
        render("{{call .F \"x\"}}", &data).unwrap_err(),
        "template: :1:2: executing \"\" at <call .F \"x\">: error calling call: arg 0: value has type string; should be int"
    );
    assert_eq!(
        render("{{.Double}}", &data).unwrap_err(),
        "template: :1:2: executing \"\" at <.Double>: wrong number of args for Double: want 1 got 0"
    );
}

#[test]
fn durations_print_like_gos() {
    let data = Struct::new("P").field("Delay", Value::duration(5_000_000_000)).into();
    assert_eq!(
        render("{{.Delay}} {{.Delay.Seconds}} {{json .Delay}} {{printf \"%d\" .Delay}} {{.Delay.String}}", &data).unwrap(),
        "5s 5 5000000000 5000000000 5s"
    );
}

#[test]
fn output_up_to_an_error_is_kept_on_request() {
    let template = Template::parse("a{{1}}{{index \"x\" 9}}b", &Functions::new()).unwrap();
    let (text, error) = template.render_partly(&Value::Nil);
    assert_eq!(text, "a1");
    assert!(error.unwrap().message.contains("index out of range: 9"));
}

#[test]
fn hostile_templates_end() {
    let doubling = r#"{{$x := "aaaaaaaaaaaaaaaa"}}{{range 64}}{{$x = print $x $x}}{{end}}"#;
    let recursion = r#"{{define "x"}}{{if true}}{{template "x" .}}{{end}}{{end}}{{template "x"}}"#;
    for (template, message) in [
        ("{{range 9223372036854775807}}{{end}}", "exceeded maximum of 5000000 steps"),
        ("{{range 1000000}}{{range 1000000}}{{end}}{{end}}", "exceeded maximum of 5000000 steps"),
        (doubling, "exceeded maximum of 67108864 bytes"),
        ("{{range 1000000}}{{printf \"%1000d\" 1}}{{end}}", "exceeded maximum of 67108864 bytes"),
        (r#"{{pad "x" 9000000000000000000 1}}"#, "strings: Repeat output length overflow"),
        (recursion, "exceeded maximum template depth (500)"),
    ] {
        let error = render(template, &Value::Nil).unwrap_err();
        assert!(error.contains(message), "{template}: {error}");
    }
    let many = format!("{{{{printf \"{}\"}}}}", "%*d".repeat(1000));
    assert!(render(&many, &Value::Nil).is_ok());
    let wide = format!("{{{{printf \"{}\"}}}}", "%1000000[1]d".repeat(100));
    let wide = wide.replace("\"}}", "\" 1}}").replace("%1000000[1]d", "%[1]1000000d");
    assert!(render(&wide, &Value::Nil).is_ok());
}

#[test]
fn nesting_is_bounded() {
    for open_close in [("{{if 1}}", "{{end}}"), ("{{range 1}}", "{{end}}"), ("{{block \"x\" 1}}", "{{end}}")] {
        let deep = |n: usize| format!("{}x{}", open_close.0.repeat(n), open_close.1.repeat(n));
        assert!(render(&deep(20_000), &Value::Nil).unwrap_err().contains("maximum nesting depth"));
        if open_close.0 != "{{block \"x\" 1}}" {
            assert_eq!(render(&deep(150), &Value::Nil).unwrap(), "x");
        }
    }
    let parens = |n: usize| format!("{{{{{}1{}}}}}", "(".repeat(n), ")".repeat(n));
    assert_eq!(render(&parens(150), &Value::Nil).unwrap(), "1");
    assert!(render(&parens(100_000), &Value::Nil).unwrap_err().contains("maximum nesting depth"));
    let chain = format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(20_000));
    assert!(render(&chain, &Value::Nil).unwrap_err().contains("maximum nesting depth"));
}

#[test]
fn limits_can_be_tightened() {
    let limits = Limits { steps_max: 10, ..Limits::default() };
    let template = Template::parse("{{range 100}}x{{end}}", &Functions::new()).unwrap();
    assert!(template.limits(limits).render(&Value::Nil).is_err());
}
