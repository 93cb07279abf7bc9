//! The two macros that turn a type into a plugin. The bindings are generated in the plugin's own crate, for one world only:
//! a library that held both worlds would leave the description of both in every plugin.

/// Makes the crate a qualifier: `export_qualifier!(Rule)` or `export_qualifier!(Rule, "path/to/the/wit/folder")`.
#[macro_export]
macro_rules! export_qualifier {
    ($rule:ty) => { $crate::export_qualifier!($rule, "wit"); };
    ($rule:ty, $wit:literal) => {
        #[cfg(target_arch = "wasm32")]
        mod __handfast {
            $crate::__bindings!("qualifier", $wit);
            $crate::__meta!($rule, $crate::Qualifier);

            impl exports::handfast::rules::qualify::Guest for Plugin {
                fn evaluate(
                    settings: String,
                    context: $crate::Context,
                    leads: u32,
                    columns: Vec<$crate::Column>,
                ) -> Vec<$crate::Verdict> {
                    match $crate::parse_settings(&settings) {
                        Ok(settings) => {
                            <$rule as $crate::Qualifier>::evaluate(&settings, &context, &$crate::Leads::new(leads, columns))
                        }
                        Err(error) => {
                            let fault = $crate::Verdict::new($crate::Outcome::Fault(error));
                            vec![fault; leads as usize]
                        }
                    }
                }
            }

            export!(Plugin with_types_in self);
        }

        // Natively the rule is a library with tests; this keeps it "used".
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Descriptor = <$rule as $crate::Qualifier>::describe;
    };
}

/// Makes the crate a router: `export_router!(Rule)` or `export_router!(Rule, "path/to/the/wit/folder")`.
#[macro_export]
macro_rules! export_router {
    ($rule:ty) => { $crate::export_router!($rule, "wit"); };
    ($rule:ty, $wit:literal) => {
        #[cfg(target_arch = "wasm32")]
        mod __handfast {
            $crate::__bindings!("router", $wit);
            $crate::__meta!($rule, $crate::Router);

            impl exports::handfast::rules::route::Guest for Plugin {
                fn assign(
                    settings: String,
                    context: $crate::Context,
                    columns: Vec<$crate::Column>,
                    owners: Vec<$crate::Owner>,
                ) -> $crate::Assignment {
                    match $crate::parse_settings(&settings) {
                        Ok(settings) => <$rule as $crate::Router>::assign(
                            &settings,
                            &context,
                            &$crate::Leads::new(1, columns),
                            &owners,
                        ),
                        Err(error) => $crate::Assignment::new($crate::Target::Fault(error)),
                    }
                }
            }

            export!(Plugin with_types_in self);
        }

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::Descriptor = <$rule as $crate::Router>::describe;
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bindings {
    ($world:literal, $wit:literal) => {
        use super::*;

        $crate::wit_bindgen::generate!({
            path: $wit,
            world: $world,
            runtime_path: "::handfast_sdk::wit_bindgen::rt",
            with: {
                "handfast:rules/types@1.0.0/kind": ::handfast_sdk::Kind,
                "handfast:rules/types@1.0.0/field": ::handfast_sdk::Field,
                "handfast:rules/types@1.0.0/texts": ::handfast_sdk::Texts,
                "handfast:rules/types@1.0.0/integer-lists": ::handfast_sdk::IntegerLists,
                "handfast:rules/types@1.0.0/text-lists": ::handfast_sdk::TextLists,
                "handfast:rules/types@1.0.0/column": ::handfast_sdk::Column,
                "handfast:rules/types@1.0.0/context": ::handfast_sdk::Context,
                "handfast:rules/types@1.0.0/reason": ::handfast_sdk::Reason,
                "handfast:rules/types@1.0.0/missing": ::handfast_sdk::Missing,
                "handfast:rules/types@1.0.0/outcome": ::handfast_sdk::Outcome,
                "handfast:rules/types@1.0.0/verdict": ::handfast_sdk::Verdict,
                "handfast:rules/types@1.0.0/owner": ::handfast_sdk::Owner,
                "handfast:rules/types@1.0.0/target": ::handfast_sdk::Target,
                "handfast:rules/types@1.0.0/assignment": ::handfast_sdk::Assignment,
                "handfast:rules/types@1.0.0/settings-problem": ::handfast_sdk::SettingsProblem,
                "handfast:rules/types@1.0.0/code-info": ::handfast_sdk::CodeInfo,
                "handfast:rules/types@1.0.0/descriptor": ::handfast_sdk::Descriptor,
            },
        });

        struct Plugin;
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __meta {
    ($rule:ty, $kind:path) => {
        impl exports::handfast::rules::meta::Guest for Plugin {
            fn describe() -> $crate::Descriptor {
                <$rule as $kind>::describe()
            }

            fn check_settings(settings: String) -> Vec<$crate::SettingsProblem> {
                match $crate::parse_settings(&settings) {
                    Ok(settings) => <$rule as $kind>::check(&settings),
                    Err(error) => vec![$crate::SettingsProblem::new("", error)],
                }
            }
        }
    };
}
