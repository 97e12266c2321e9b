"""From stored DICOM to the patches that the networks read, in LPS millimetres; no torch. See README.md."""
