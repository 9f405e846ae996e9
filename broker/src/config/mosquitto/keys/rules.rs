//! Keys about who may come in and do what.

use super::{Entry, Key, Reader, Shape};
use crate::config::{ClientIds, ConfigError};

const PLUGIN: &str = "no plugin: a program for mosquitto cannot be loaded here. Put its users into a password_file and its \
                      rules into an acl_file";
const PLUGIN_OPTION: &str = "no options of plugins, as there are none; of mosquitto's own plugins for password and ACL files, \
                             write `password_file` and `acl_file` instead";
const PSK: &str = "certfile and keyfile, or a listener without TLS for 127.0.0.1: gaugeline has no TLS with pre-shared keys";

pub(super) const KEYS: &[Key] = &[
    Key::set("per_listener_settings", "before every rule, as by mosquitto 2.1", Reader::set_per_listener),
    Key::set("allow_anonymous", "", |reader, entry| {
        let flag = entry.flag()?;
        reader.rules(entry)?.allow_anonymous = Some(flag);
        Ok(())
    }),
    Key::set("listener_allow_anonymous", "", |reader, entry| {
        let flag = entry.flag()?;
        reader.listener(entry)?.rules.allow_anonymous = Some(flag);
        Ok(())
    }),
    Key::set("password_file", "read again within a second of a change", |reader, entry| {
        let path = (entry.place.clone(), entry.path()?);
        reader.rules(entry)?.password_file = Some(path);
        Ok(())
    }),
    Key::set("acl_file", "read again within a second of a change", |reader, entry| {
        let path = (entry.place.clone(), entry.path()?);
        reader.rules(entry)?.acl_file = Some(path);
        Ok(())
    }),
    Key::set("allow_zero_length_clientid", "", |reader, entry| {
        let flag = entry.flag()?;
        reader.rules(entry)?.no_empty_client_ids = !flag;
        Ok(())
    }),
    Key::set("auto_id_prefix", "", |reader, entry| {
        let prefix = assigned_prefix(entry)?;
        reader.rules(entry)?.assigned_prefix = Some(prefix);
        let of_listener = reader.per_listener_settings;
        reader.once(entry, of_listener)
    }),
    Key::set("listener_auto_id_prefix", "", |reader, entry| {
        let prefix = assigned_prefix(entry)?;
        reader.listener(entry)?.rules.assigned_prefix = Some(prefix);
        reader.once(entry, true)
    }),
    Key::set("clientid_prefixes", "one prefix, in spite of its name", |reader, entry| {
        reader.settings.client_id_prefix = Some(entry.text()?.to_owned());
        Ok(())
    }),
    Key::set("check_retain_source", "`false`; `true` is refused", |_, entry| {
        match entry.flag()? {
        false => Ok(()),
        true => Err(entry.wrong(
            "true",
            "false: what is retained stays when its publisher loses the right to write; clear it by publishing an empty \
             retained message",
        )),
    }
    }),
    Key::refuse("psk_file", PSK),
    Key::refuse("psk_hint", PSK),
    Key::refuse_by("plugin", PLUGIN, plugin),
    Key::refuse_by("global_plugin", PLUGIN, plugin),
    Key::refuse_by("plugin_load", PLUGIN, plugin),
    Key::refuse("plugin_use", PLUGIN),
    Key::refuse("plugin_opt_*", PLUGIN_OPTION),
    Key::refuse_by("auth_plugin", PLUGIN, plugin),
    Key::refuse("auth_plugin_deny_special_chars", PLUGIN),
    Key::refuse("auth_opt_*", PLUGIN_OPTION),
    Key::ignore(
        "enable_control_api",
        Shape::Flag,
        "there are no `$CONTROL` topics; change users with `gaugeline passwd`",
    ),
];

fn assigned_prefix(entry: &Entry) -> Result<String, ConfigError> {
    let text = entry.text()?;
    let most = ClientIds::ASSIGNED_PREFIX_BYTES_MAX;
    if text.len() > most || text.chars().any(char::is_control) {
        return Err(entry.wrong(text.escape_debug(), format_args!("at most {most} bytes of text")));
    }
    Ok(text.to_owned())
}

/// The way out depends on the plugin.
fn plugin(entry: &Entry) -> &'static str {
    const KNOWN: [(&str, &str); 4] = [
        (
            "dynamic_security",
            "no plugin: put the users of the dynamic security plugin into a password_file, with `gaugeline passwd`, and \
             its roles into an acl_file",
        ),
        ("password_file", "`password_file` instead of the plugin"),
        ("acl_file", "`acl_file` instead of the plugin"),
        ("persist", "`persistence true` instead of the plugin: all that is acknowledged is on disk at once"),
    ];
    let path = entry.text().unwrap_or_default();
    KNOWN.into_iter().find_map(|(name, way_out)| path.contains(name).then_some(way_out)).unwrap_or(PLUGIN)
}
