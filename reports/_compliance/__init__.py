"""What rule sets ask for, which of it an audit fills with which evidence, and what stays open for a person.

    rules.py    the rule sets: YAML files beside it, each dated, versioned and with its source
    evidence.py from a selector of a rule set to facts of a scorecard, each with its place there
    form.py     a rule set filled in
    page.py     the HTML page

Rules are data and may be out of date; a report prints when each was looked at. Nothing here says that anything conforms.
"""
