"""Pipeline steps as plain functions: paths in, a typed result out."""
