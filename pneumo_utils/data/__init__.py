"""From a file, a download or a phantom to one `XrayDataset`, split and ready for batches."""
