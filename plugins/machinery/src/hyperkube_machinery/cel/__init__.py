"""The Common Expression Language as Kubernetes' API servers speak it: checked, priced, compiled to closures.

It knows nothing of Kubernetes. Values are JSON's own, unconverted; `values` has those that JSON lacks. Where an
expression reads data whose declared type JSON has no form for, what is found is converted as it is read: an integer
where a double is declared becomes one, and text where a timestamp, a duration or bytes are.

Import names from the modules: `environment`, `types`, `values`, `errors`, `library`, `libraries`, `estimation`.
"""
