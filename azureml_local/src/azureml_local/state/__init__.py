"""What the workspace remembers: documents, blobs, operations, meters, and the catalogue of VM sizes."""
