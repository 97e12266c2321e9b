"""The DICOM conformance statement (PS3.2), generated from the configuration and the tables that the code works by."""
