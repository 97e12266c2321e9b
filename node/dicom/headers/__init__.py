"""Headers of received instances, read before anything trusts them.

`read_instance_header` in `reading` is the entry. An image of an ordinary series is read from its first bytes while the
rest of it arrives (`early_header`); everything else is validated as a whole (`structure`) and then decoded by pydicom
(`full_header`). No network here, and no pynetdicom.
"""
