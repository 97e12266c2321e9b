"""Headers of received instances, read before anything trusts them.

`read_instance_header` in `reading` is the entry. An image of an ordinary series is read from its first bytes while the
rest of it arrives (`early_header`); everything else is validated as a whole (`structure`) and then decoded by pydicom
(`full_header`). No network here, and no pynetdicom.

What does not conform and has one meaning (`vr_forms`) is read all the same, by workers, too (`conforming`). The
contours of an RTSTRUCT are read from its bytes (`roi_contours`). Of what cannot be read, `identifying_uids` finds the
study.
"""
