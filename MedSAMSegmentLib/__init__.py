"""Promptable 3D segmentation with the MedSAM family of models.

The layers and what each may import: `Resources/docs/architecture.md`."""
