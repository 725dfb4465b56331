//! Changing an object without losing what this program does not know of it.
//!
//! A manager may be newer than this program. So an update does not send back what this program understood, but what the
//! server sent, with the members changed that the user changed.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use serde_json::{Map, Value};

/// `raw`, the JSON that `before` was read from, with what differs between `before` and `after` put in.
///
/// # Errors
/// If either cannot be written as JSON.
pub(crate) fn changed<T: Serialize>(mut raw: Value, before: &T, after: &T) -> Outcome<Value> {
    let json = |object: &T| serde_json::to_value(object).map_err(|e| Failure::new(e.to_string()));
    overlay(&mut raw, &json(before)?, &json(after)?);
    Ok(raw)
}

fn overlay(raw: &mut Value, before: &Value, after: &Value) {
    if before == after {
        return;
    }
    let empty = Map::new();
    // What was absent may have been null, and what was an object may now hold only defaults.
    let (raw_map, after_map) = match (&mut *raw, after) {
        (Value::Object(raw), Value::Object(after)) => (raw, after),
        _ => {
            *raw = after.clone();
            return;
        }
    };
    let before_map = before.as_object().unwrap_or(&empty);
    for key in before_map.keys().filter(|key| !after_map.contains_key(*key)) {
        raw_map.remove(key);
    }
    for (key, after) in after_map {
        match (raw_map.get_mut(key), before_map.get(key)) {
            (Some(raw), Some(before)) => overlay(raw, before, after),
            (Some(raw), None) => *raw = after.clone(),
            // Left out by the server and unchanged: a default, left out again.
            (None, Some(before)) if before == after => {}
            (None, _) => {
                raw_map.insert(key.clone(), after.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_changed_is_replaced() {
        let raw = json!({"A": 1, "New": {"x": 1}, "B": {"C": [1], "D": "x", "Newer": true}, "E": null});
        let before = json!({"A": 1, "B": {"C": [1], "D": "x", "F": false}, "G": 0});
        let after = json!({"A": 2, "B": {"C": [1, 2], "F": false}, "E": {"x": 1}, "G": 0, "H": 3});
        let result = changed(raw, &before, &after).expect("is JSON");
        assert_eq!(result, json!({"A": 2, "New": {"x": 1}, "B": {"C": [1, 2], "Newer": true}, "E": {"x": 1}, "H": 3}));
    }
}
