//! The definitions that are part of the program.

/// Every shipped definition: its name and its text.
#[must_use]
pub const fn shipped() -> &'static [(&'static str, &'static str)] {
    &[
        ("bondi", include_str!("../../providers/bondi.toml")),
        ("plana", include_str!("../../providers/plana.toml")),
        ("plana-manual", include_str!("../../providers/plana-manual.toml")),
        ("wrapd-agent-token", include_str!("../../providers/wrapd-agent-token.toml")),
        ("wrapd-api-key", include_str!("../../providers/wrapd-api-key.toml")),
        ("wrapd-manual", include_str!("../../providers/wrapd-manual.toml")),
    ]
}
