//! `--vaccel-config`: the library's settings in the form that the agent of the C
//! implementation takes them, `plugins=a:b,log_level=4,...`.

use crate::log::Level;

/// Settings of the library in the workers; what was not said is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VaccelConfig {
    /// Plugins, by name or file.
    pub plugins: Option<Vec<String>>,
    /// How much the library logs.
    pub log_level: Option<Level>,
    /// Prefix of the library's log file.
    pub log_file: Option<String>,
    /// Collect times of operations.
    pub profiling_enabled: Option<bool>,
    /// Take plugins made for another version.
    pub version_ignore: Option<bool>,
}

/// Reads `key=value,key=value`.
///
/// # Errors
/// Names the key or value that is wrong, and what is known.
pub fn parse(text: &str) -> Result<VaccelConfig, String> {
    let mut config = VaccelConfig::default();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{pair}` is not of the form key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        let again = match key {
            "plugins" => config.plugins.replace(names(value, ':')).is_some(),
            "log_level" => config.log_level.replace(value.parse()?).is_some(),
            "log_file" => config.log_file.replace(value.to_owned()).is_some(),
            "profiling_enabled" => config
                .profiling_enabled
                .replace(switch(key, value)?)
                .is_some(),
            "version_ignore" => config.version_ignore.replace(switch(key, value)?).is_some(),
            _ => {
                return Err(format!(
                    "unknown key `{key}`; known are plugins, log_level, log_file, \
                     profiling_enabled and version_ignore"
                ));
            }
        };
        if again {
            return Err(format!("`{key}` is given twice"));
        }
    }
    Ok(config)
}

/// The names in a list with a separator, empty ones left out.
#[must_use]
pub fn names(list: &str, separator: char) -> Vec<String> {
    list.split(separator)
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("`{key}` is true or false, not `{value}`")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_c_implementations_agent_is_understood() {
        let config = parse("plugins=noop:exec,log_level=4,profiling_enabled=true").unwrap();
        assert_eq!(config.plugins.unwrap(), ["noop", "exec"]);
        assert_eq!(config.log_level, Some(Level::Debug));
        assert_eq!(config.profiling_enabled, Some(true));
        assert_eq!(config.version_ignore, None);
    }

    #[test]
    fn nothing_at_all_changes_nothing() {
        assert_eq!(parse("").unwrap(), VaccelConfig::default());
    }

    #[test]
    fn unknown_keys_wrong_values_and_repetitions_are_named() {
        for (text, needle) in [
            ("plugin=noop", "unknown key `plugin`"),
            ("plugins", "key=value"),
            ("log_level=loud", "`loud`"),
            ("version_ignore=maybe", "`maybe`"),
            ("log_file=a,log_file=b", "twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }
}
