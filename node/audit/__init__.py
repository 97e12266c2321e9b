"""Audit messages by DICOM PS3.15, metrics, notifications and traces; `README.md` of this folder describes them."""
