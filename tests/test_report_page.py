"""Tables of a report, in both of its forms."""

from pyhpc.report.page import Section, Table, html, markdown

TABLE = Table(
    ["experiment", "folds", "R2", "gain", "chosen"],
    [["a", "random", "0.5 [0.4, 0.6]", "+0.1", ""], ["b", "-", "", "-0.2", "depth = 3: twice"]],
)


def test_words_stand_left_and_figures_right():
    assert TABLE.worded == [True, True, False, False, True]
    text = markdown("Title", "", [Section("key", "Section", tables=[TABLE])])
    assert "| --- | --- | ---: | ---: | --- |" in text
    page = html("Title", "", [Section("key", "Section", tables=[TABLE])])
    assert '<th class="worded">folds</th><th>R2</th>' in page
    assert '<td class="worded">random</td><td class="">0.5 [0.4, 0.6]</td>' in page
