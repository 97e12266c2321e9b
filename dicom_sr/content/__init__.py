"""The content tree of the Structured Report, one function per container (PS3.16 TID 1500)."""
