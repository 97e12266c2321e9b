"""A report as HL7 v2 messages: ORU^R01 for hospital information systems, MDM for oncology information systems."""
