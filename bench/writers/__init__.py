"""How others write the same file to a bare all-text table: one program each, run by an interpreter that has its tool.

Each is called with the URL of a database and the file, and does it the way its documentation shows. Table: `copied`.
"""
