"""Clinical facts that no image carries: from files, HL7 v2 and FHIR into the ledger, each with its source."""
