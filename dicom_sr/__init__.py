"""A finished treatment report as DICOM objects, and read back from its Structured Report."""
