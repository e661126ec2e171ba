"""The tables of a comparison: every row as long as its head, every number where it belongs."""

import pytest
from study_factory import ABLATIONS, Simulated, evidence_of

from tune.report.tables import ablation_table

LIST = Simulated(sampler="list", confirm_seeds=5, epochs=3)


def test_the_ablation_table_has_the_reference_first_and_each_row_against_it() -> None:
    evidence = evidence_of(LIST)
    assert evidence.comparison is not None
    table = ablation_table(evidence.comparison, evidence.comparison.names)
    labels = ["default", *ABLATIONS]
    ensembles = [f"ensemble of {'the ' * (name == 'default')}{name}" for name in labels]
    assert [row[0] for row in table.rows] == labels + ensembles
    assert table.rows[0][2] == "reference"
    assert "Spoiled" not in table.columns
    assert "No run failed, collapsed or had bad luck." in table.caption
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.strong == {0}
    by_name = {evidence.labels[p.first].text: p for p in evidence.comparison.others}
    for row in table.rows[1 : len(labels)]:
        pair = by_name[row[0]]
        difference = row[3].replace("−", "-")
        assert float(difference) == pytest.approx(pair.means[0] - pair.means[1], abs=6e-5)
