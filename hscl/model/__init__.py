"""The HSCL network: encoders, projections, fusion, prediction."""
