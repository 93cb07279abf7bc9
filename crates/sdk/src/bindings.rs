pub mod qualifier {
    wit_bindgen::generate!({
        path: "../../schema/wit/handfast-rules@1.0.0",
        world: "qualifier",
        export_macro_name: "export_world",
        default_bindings_module: "handfast_sdk::bindings::qualifier",
        additional_derives: [PartialEq, Eq],
    });
}
pub mod router {
    wit_bindgen::generate!({
        path: "../../schema/wit/handfast-rules@1.0.0",
        world: "router",
        export_macro_name: "export_world",
        default_bindings_module: "handfast_sdk::bindings::router",
        with: { "handfast:rules/types@1.0.0": crate::bindings::qualifier::exports::handfast::rules::types },
    });
}
