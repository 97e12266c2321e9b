"""The finished objects (SR, page as picture and PDF, SEG, attribution maps, FHIR) and their validation."""
