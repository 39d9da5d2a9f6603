//! Files, networks and volumes as TOML.

use super::settings::{by_name, texts_by_name};
use super::toml_text::{self, TomlText, inline, text};
use crate::plan::model::*;
use crate::plan::secrets::MASK;

pub fn put(out: &mut TomlText, plan: &Plan) {
    for file in &plan.files {
        put_file(out, file);
    }
    for network in &plan.networks {
        out.header(&format!("[networks.{}]", toml_text::key(&network.name)));
        put_network(out, network);
    }
    for volume in &plan.volumes {
        out.header(&format!("[volumes.{}]", toml_text::key(&volume.name)));
        out.optional_text("driver", volume.driver.as_ref());
        texts_by_name(out, "driver_opts", &volume.driver_opts);
        texts_by_name(out, "labels", &volume.labels);
        out.key("external", volume.external);
    }
}

fn put_file(out: &mut TomlText, file: &PlacedFile) {
    out.header("[[files]]");
    out.text("path", &file.path.to_string_lossy());
    match &file.content {
        PlacedContent::Bundle(name) => out.text("source", &name.to_string_lossy()),
        PlacedContent::Text(_) if file.secret.is_some() => out.text("content", MASK),
        PlacedContent::Text(content) => out.text("content", content),
        PlacedContent::Folder => out.key("folder", true),
    }
    out.optional("mode", file.mode.map(|mode| format!("0o{mode:o}")));
    out.optional("uid", file.uid);
    out.optional("gid", file.gid);
    out.optional("secret", file.secret.as_ref().map(|_| true));
}

fn put_network(out: &mut TomlText, network: &Network) {
    out.optional_text("driver", network.driver.as_ref());
    texts_by_name(out, "driver_opts", &network.driver_opts);
    out.key("internal", network.internal);
    out.key("attachable", network.attachable);
    out.optional("enable_ipv6", network.enable_ipv6);
    if let Some(ipam) = &network.ipam {
        out.key("ipam", put_ipam(ipam));
    }
    texts_by_name(out, "labels", &network.labels);
    out.key("external", network.external);
}

fn put_ipam(ipam: &Ipam) -> String {
    let mut keys = Vec::new();
    keys.extend(ipam.driver.as_ref().map(|d| ("driver".to_owned(), text(d))));
    if !ipam.config.is_empty() {
        let subnets: Vec<String> = ipam.config.iter().map(subnet).collect();
        keys.push(("config".to_owned(), format!("[{}]", subnets.join(", "))));
    }
    if !ipam.options.is_empty() {
        keys.push(("options".to_owned(), by_name(&ipam.options)));
    }
    inline(keys)
}

fn subnet(subnet: &Subnet) -> String {
    let texts = [
        ("subnet", &subnet.subnet),
        ("gateway", &subnet.gateway),
        ("ip_range", &subnet.ip_range),
    ];
    let mut keys: Vec<_> = texts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), text(value.as_ref()?))))
        .collect();
    if !subnet.aux_addresses.is_empty() {
        keys.push(("aux_addresses".to_owned(), by_name(&subnet.aux_addresses)));
    }
    inline(keys)
}
