"""The child process that computes for Slicer: frames, client, transports, and the child's main.

client = WorkerClient(worker_command, PopenTransport)          # in Slicer: QProcessTransport
volume = RemoteVolume(client, "lite_medsam", array_zyx, spacing_zyx)
volume.segment_slice(0, 32, [box], on_done=..., on_error=...)
"""
