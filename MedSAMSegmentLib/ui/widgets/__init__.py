"""The Qt widgets of the effect's options frame, and the texts that they show. The only place that makes HTML."""
