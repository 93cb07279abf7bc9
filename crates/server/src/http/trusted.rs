//! Trusted documents: the operations that an operator's own clients send, known by their ids. With the mode `only` the server
//! carries out no other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::config::{DocumentMode, Documents, Limits};
use super::document::Document;
use super::problem::{Code, Problem, clip};
use crate::telemetry;

/// The documents of the file, and what happens to others.
#[derive(Default)]
pub struct Trusted {
    mode: DocumentMode,
    /// By the id that the file gives, and by the SHA-256 of the text in hex.
    by_id: HashMap<String, Arc<str>>,
}

/// A manifest of Apollo's (`generate-persisted-query-manifest`), or an object of id and text as Relay's compiler and
/// graphql-codegen's client preset write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    Apollo { operations: Vec<Operation> },
    Plain(HashMap<String, String>),
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

impl Trusted {
    /// Reads the file of the configuration. `own` are the documents of the command line, which is trusted as the server is.
    pub fn load(config: &Documents, limits: &Limits, own: &[String]) -> Result<Trusted, String> {
        let mut trusted = Trusted { mode: config.mode, by_id: HashMap::new() };
        if let Some(file) = &config.file {
            trusted
                .read(file, limits)
                .map_err(|why| format!("edge.documents.file {}: {why}", file.display()))?;
        } else if config.mode == DocumentMode::Only {
            return Err(
                "edge.documents.mode is \"only\" and edge.documents.file names no documents".to_owned()
            );
        }
        for text in own {
            trusted.by_id.insert(sha256(text), text.as_str().into());
        }
        Ok(trusted)
    }

    fn read(&mut self, file: &Path, limits: &Limits) -> Result<(), String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let manifest: Manifest = serde_json::from_str(&text).map_err(|_| {
            "expected an object of ids and documents, or a manifest with operations of id and body".to_owned()
        })?;
        let documents: Vec<(String, String)> = match manifest {
            Manifest::Apollo { operations } => operations.into_iter().map(|one| (one.id, one.body)).collect(),
            Manifest::Plain(documents) => documents.into_iter().collect(),
        };
        for (id, text) in documents {
            Document::read(&text, limits)
                .map_err(|problem| format!("{}: {}", clip(&id, 80), problem.message))?;
            let text: Arc<str> = text.into();
            self.by_id.insert(sha256(&text), text.clone());
            self.by_id.insert(id, text);
        }
        Ok(())
    }

    /// The text of an id. `sha256:…` is the form of the specification's appendix on persisted documents.
    pub fn find(&self, id: &str) -> Option<Arc<str>> {
        self.by_id.get(id).or_else(|| self.by_id.get(id.strip_prefix("sha256:")?)).cloned()
    }

    /// Whether a document that came as text may be carried out.
    pub fn check(&self, text: &str) -> Result<(), Problem> {
        if self.mode == DocumentMode::Open {
            return Ok(());
        }
        let hash = sha256(text);
        let known = self.by_id.contains_key(&hash);
        telemetry::document(known);
        match self.mode {
            _ if known => Ok(()),
            DocumentMode::Only => Err(Problem::new(
                Code::DocumentNotTrusted,
                format!(
                    "this server carries out the documents that it knows; it does not know sha256:{hash}"
                ),
            )),
            _ => {
                tracing::info!(document = %hash, start = clip(text.trim_start(), 60), "a document that is not among the trusted ones");
                Ok(())
            }
        }
    }
}

pub fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(mode: DocumentMode, manifest: &str) -> Result<Trusted, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), manifest).expect("written");
        let config = Documents { mode, file: Some(file.path().to_owned()) };
        Trusted::load(&config, &Limits::default(), &["{ own }".to_owned()])
    }

    #[test]
    fn documents_are_found_by_their_id_and_by_their_hash_in_both_forms_of_the_file() {
        for manifest in [
            r#"{"format": "apollo-persisted-query-manifest", "version": 1, "operations": [{"id": "a1", "name": "A", "type": "query", "body": "{ a }"}]}"#,
            r#"{"a1": "{ a }"}"#,
        ] {
            let trusted = load(DocumentMode::Only, manifest).expect("reads");
            assert_eq!(trusted.find("a1").as_deref(), Some("{ a }"), "{manifest}");
            assert_eq!(trusted.find(&format!("sha256:{}", sha256("{ a }"))).as_deref(), Some("{ a }"));
            assert_eq!(trusted.find("a2"), None);
            assert_eq!((trusted.check("{ a }"), trusted.check("{ own }")), (Ok(()), Ok(())));
            let refused = trusted.check("{ b }").expect_err("unknown");
            assert_eq!(refused.code, Code::DocumentNotTrusted);
            assert!(refused.message.contains(&sha256("{ b }")), "{refused:?}");
        }
        for mode in [DocumentMode::Open, DocumentMode::Log] {
            assert_eq!(load(mode, r#"{"a1": "{ a }"}"#).expect("reads").check("{ b }"), Ok(()));
        }
    }

    #[test]
    fn a_file_that_cannot_serve_is_refused_at_the_start() {
        let refused = |manifest| load(DocumentMode::Only, manifest).err().unwrap_or_default();
        assert!(refused("[]").contains("expected an object"), "{}", refused("[]"));
        assert!(refused(r#"{"a1": "{ a "}"#).contains("a1: "), "{}", refused(r#"{"a1": "{ a "}"#));
        let none = Documents { mode: DocumentMode::Only, file: None };
        assert!(
            Trusted::load(&none, &Limits::default(), &[])
                .is_err_and(|why| why.contains("names no documents"))
        );
    }
}
