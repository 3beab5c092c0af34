"""The nearest real thing to the Slicer application that can run without it. See Testing/README.md."""
