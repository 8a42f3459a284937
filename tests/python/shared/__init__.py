"""Code that several suites use: processes, HTTP, and the PrivateLink simulator."""
