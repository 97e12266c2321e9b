"""Who did what, and how it goes: PS3.15 audit messages, metrics, notifications, traces. See the README beside it."""
