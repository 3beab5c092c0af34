"""The MRML scene behind the effect: what is read, written and observed."""
