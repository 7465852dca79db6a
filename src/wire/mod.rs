//! The STUN and ChannelData codec (RFC 8489, RFC 8656). Pure.
