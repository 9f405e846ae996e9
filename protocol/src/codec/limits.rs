//! Limits of one packet, beside its size.

/// How much of what costs memory one packet may hold. A filter or property of a few bytes on the wire takes ten to
/// twenty times as much memory once decoded, so the size of the packet alone does not bound that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_per_packet_max: usize,
    /// User properties in one section of properties.
    pub user_properties_max: usize,
}

impl Default for Limits {
    /// 8192 filters: clients that resubscribe to everything at once send thousands. 256 user properties: ten times
    /// what HTTP requests usually carry as headers.
    fn default() -> Self {
        Self { filters_per_packet_max: 8192, user_properties_max: 256 }
    }
}
