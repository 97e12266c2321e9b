"""What all objects have in common: patient, study, series, equipment, UIDs and text encoding."""
