"""Files of feeds into the stock ledger, through its public contract: CSV, Parquet, GS1 EDIFACT."""
