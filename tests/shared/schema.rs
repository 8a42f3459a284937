//! Validates JSON with a schema. The tests of several programs include this file.

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

/// All violations of the schema.
pub(crate) fn validate(schema: &str, value: &Value) -> Result<(), String> {
    let schema = serde_json::from_str(schema).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("urn:schema", schema).unwrap();
    let index = compiler.compile("urn:schema", &mut schemas).unwrap();
    schemas.validate(value, index).map_err(|error| format!("{error:#}"))
}

/// Panics with all violations if the value does not conform to the schema.
pub(crate) fn check(schema: &str, value: &Value) {
    if let Err(violations) = validate(schema, value) {
        panic!("{violations}\n{value:#}");
    }
}

/// Changes one field after the other, and expects the schema to reject each result.
pub(crate) fn check_that_it_rejects(schema: &str, valid: &Value, changes: &[(&str, Value)]) {
    assert_eq!(validate(schema, valid), Ok(()));
    for (pointer, value) in changes {
        let mut invalid = valid.clone();
        *invalid.pointer_mut(pointer).unwrap() = value.clone();
        assert!(validate(schema, &invalid).is_err(), "the schema accepts {pointer} = {value}");
    }
    for name in valid.as_object().unwrap().keys() {
        let mut missing_field = valid.clone();
        missing_field.as_object_mut().unwrap().remove(name);
        assert!(validate(schema, &missing_field).is_err(), "the schema does not require {name}");
    }
    let mut unknown_field = valid.clone();
    unknown_field["secret"] = json!("x");
    assert!(validate(schema, &unknown_field).is_err(), "the schema accepts an unknown field");
}
