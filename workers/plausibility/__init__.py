"""Whether a prepared study shows what the model was made for: images, one head, contrast, a tumour."""
