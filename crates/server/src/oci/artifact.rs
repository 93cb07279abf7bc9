//! The Wasm OCI artifact layout of CNCF's TAG Runtime: a manifest whose config lists what the component exports and imports,
//! and exactly one layer of the media type `application/wasm`. `wkg` refuses artifacts with more layers, so that what
//! belongs to a plugin otherwise travels beside it: a signature in an annotation of the manifest, cases and settings as blobs
//! whose digests are annotations. So the manifest's digest covers all of them.
//!
//! Registries collect blobs that no manifest names. A second manifest names those beside; its tag is made of their digests.

use std::collections::BTreeMap;

use handfast_domain::digest::Digest;
use handfast_domain::time::Instant;
use handfast_rules::{Descriptor, Interfaces};
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use serde::{Deserialize, Serialize};

pub const CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub const LAYER_MEDIA_TYPE: &str = "application/wasm";
const BESIDE_TYPE: &str = "application/vnd.handfast.plugin-cases.v1+json";
const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const CREATED: &str = "org.opencontainers.image.created";
const SIGNATURE: &str = "dev.handfast.signature";
const CASES: &str = "dev.handfast.cases";
const SETTINGS: &str = "dev.handfast.settings";

/// The config: what can be known of the component without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmConfig {
    /// RFC 3339.
    pub created: String,
    pub author: Option<String>,
    /// `wasm`.
    pub architecture: String,
    /// `wasip2` for components; `wasip1` for core modules, which are no plugins.
    pub os: String,
    /// Digests of the layers, in their order.
    pub layer_digests: Vec<String>,
    pub component: Option<Component>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    pub exports: Vec<String>,
    pub imports: Vec<String>,
    /// The world that it was built for.
    pub target: Option<String>,
}

/// What is published together.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    pub wasm: Vec<u8>,
    /// Text of a `.minisig` file.
    pub signature: Option<String>,
    /// A JSON object: file name to case.
    pub cases: Option<Vec<u8>>,
    /// JSON.
    pub settings: Option<Vec<u8>>,
}

/// A manifest with everything that it names.
#[derive(Clone)]
pub struct Artifact {
    pub manifest: OciImageManifest,
    pub config: Config,
    pub layers: Vec<ImageLayer>,
}

impl Bundle {
    /// The plugin's artifact.
    pub fn artifact(
        &self,
        said: &Descriptor,
        label: &str,
        interfaces: &Interfaces,
        now: Instant,
    ) -> Result<Artifact, serde_json::Error> {
        let layer = ImageLayer::new(self.wasm.clone(), LAYER_MEDIA_TYPE.to_owned(), None);
        let config = WasmConfig {
            created: now.to_string(),
            author: None,
            architecture: "wasm".to_owned(),
            os: "wasip2".to_owned(),
            layer_digests: vec![layer.sha256_digest()],
            component: Some(Component {
                exports: interfaces.exports.clone(),
                imports: interfaces.imports.clone(),
                target: interfaces.world.clone(),
            }),
        };
        let config = Config::new(serde_json::to_vec(&config)?, CONFIG_MEDIA_TYPE.to_owned(), None);
        let mut annotations = BTreeMap::from([
            (TITLE.to_owned(), said.name.clone()),
            (VERSION.to_owned(), label.to_owned()),
            (DESCRIPTION.to_owned(), said.summary.clone()),
            (CREATED.to_owned(), now.to_string()),
        ]);
        let digest = |bytes: &Vec<u8>| format!("sha256:{}", Digest::of_bytes(bytes));
        annotations.extend(self.signature.iter().map(|text| (SIGNATURE.to_owned(), text.clone())));
        annotations.extend(self.cases.iter().map(|bytes| (CASES.to_owned(), digest(bytes))));
        annotations.extend(self.settings.iter().map(|bytes| (SETTINGS.to_owned(), digest(bytes))));
        let layers = vec![layer];
        let mut manifest = OciImageManifest::build(&layers, &config, Some(annotations));
        manifest.media_type = Some(OCI_IMAGE_MEDIA_TYPE.to_owned());
        Ok(Artifact { manifest, config, layers })
    }

    /// What keeps cases and settings alive in the registry, and its tag; nothing where there are none.
    pub fn beside(&self) -> Option<(String, Artifact)> {
        let layer = |bytes: &Vec<u8>| ImageLayer::new(bytes.clone(), "application/json".to_owned(), None);
        let layers: Vec<ImageLayer> = self.cases.iter().chain(&self.settings).map(layer).collect();
        if layers.is_empty() {
            return None;
        }
        let digests: Vec<String> = layers.iter().map(ImageLayer::sha256_digest).collect();
        let tag = format!("cases-{}", Digest::of_bytes(digests.join("\n").as_bytes()));
        let config = Config::new(b"{}".to_vec(), EMPTY_MEDIA_TYPE.to_owned(), None);
        let mut manifest = OciImageManifest::build(&layers, &config, None);
        manifest.media_type = Some(OCI_IMAGE_MEDIA_TYPE.to_owned());
        manifest.artifact_type = Some(BESIDE_TYPE.to_owned());
        Some((tag, Artifact { manifest, config, layers }))
    }
}

/// What a manifest says of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Digest of the one layer, as `sha256:…`.
    pub layer: String,
    /// Bytes of it.
    pub size: u64,
    pub name: Option<String>,
    pub label: Option<String>,
    pub signature: Option<String>,
    /// Digest of the blob.
    pub cases: Option<String>,
    /// Digest of the blob.
    pub settings: Option<String>,
}

/// Reads the manifest of an artifact that may have been made by another tool; a sentence says why it is no plugin.
pub fn read(manifest: &OciImageManifest) -> Result<Found, String> {
    // What once was the config's type is the artifact's type in later tools.
    let kind = &manifest.config.media_type;
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!(
            "its config is {kind} and it has {} layers; a plugin has one",
            manifest.layers.len()
        ));
    };
    if layer.media_type != LAYER_MEDIA_TYPE {
        let found = &layer.media_type;
        return Err(format!(
            "its config is {kind} and its layer {found}; that of a plugin is {LAYER_MEDIA_TYPE}"
        ));
    }
    let said = |key: &str| manifest.annotations.as_ref().and_then(|all| all.get(key)).cloned();
    Ok(Found {
        layer: layer.digest.clone(),
        size: u64::try_from(layer.size).unwrap_or(u64::MAX),
        name: said(TITLE),
        label: said(VERSION),
        signature: said(SIGNATURE),
        cases: said(CASES),
        settings: said(SETTINGS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bundle() -> Bundle {
        Bundle {
            wasm: b"\0asm".to_vec(),
            signature: Some("signed".into()),
            cases: Some(b"{}".to_vec()),
            settings: None,
        }
    }

    fn artifact(bundle: &Bundle) -> Artifact {
        let said = Descriptor {
            name: "card".into(),
            version: "1.0.0".into(),
            summary: "Counts points.".into(),
            settings_schema: json!({}),
            reason_codes: vec![],
            reads: vec![],
        };
        let interfaces = Interfaces {
            exports: vec!["handfast:rules/meta@1.0.0".into()],
            imports: vec![],
            world: Some("handfast:rules/qualifier@1.0.0".into()),
        };
        bundle.artifact(&said, "1.4.0", &interfaces, Instant(1_764_217_000_123)).unwrap()
    }

    /// The example of the layout's documentation, field by field; `wkg` refuses what differs.
    #[test]
    fn the_artifact_has_the_shape_of_the_wasm_oci_layout() {
        let made = artifact(&bundle());
        let manifest: Value = serde_json::to_value(&made.manifest).unwrap();
        let config: Value = serde_json::from_slice(&made.config.data).unwrap();
        let wasm = "sha256:cd5d4935a48c0672cb06407bb443bc0087aff947c6b864bac886982c73b3027f";
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
        assert_eq!(manifest["config"]["digest"], format!("sha256:{}", Digest::of_bytes(&made.config.data)));
        assert_eq!(manifest["config"]["size"], made.config.data.len());
        assert_eq!(
            manifest["layers"],
            json!([{"mediaType": "application/wasm", "digest": wasm, "size": 4}]),
            "exactly one layer"
        );
        assert_eq!(
            config,
            json!({
                "created": "2025-11-27T04:16:40.123Z",
                "author": null,
                "architecture": "wasm",
                "os": "wasip2",
                "layerDigests": [wasm],
                "component": {
                    "exports": ["handfast:rules/meta@1.0.0"],
                    "imports": [],
                    "target": "handfast:rules/qualifier@1.0.0",
                },
            })
        );
    }

    #[test]
    fn what_was_made_is_read_again_and_names_what_lies_beside() {
        let bundle = bundle();
        let found = read(&artifact(&bundle).manifest).unwrap();
        let (tag, beside) = bundle.beside().unwrap();
        assert_eq!(found.cases, Some(beside.layers[0].sha256_digest()));
        assert_eq!((found.settings, found.signature.as_deref()), (None, Some("signed")));
        assert_eq!(
            (found.name.as_deref(), found.label.as_deref(), found.size),
            (Some("card"), Some("1.4.0"), 4)
        );
        assert!(tag.len() <= 128, "the longest tag that registries take: {tag}");
        assert!(Bundle { wasm: vec![0], ..Bundle::default() }.beside().is_none());
    }

    #[test]
    fn what_is_no_plugin_is_told_by_what_it_is() {
        let mut image = artifact(&bundle()).manifest;
        image.layers[0].media_type = "application/vnd.oci.image.layer.v1.tar+gzip".into();
        assert!(read(&image).unwrap_err().contains("tar+gzip"));
        image.layers.push(image.layers[0].clone());
        assert!(read(&image).unwrap_err().contains("2 layers"));
    }
}
