"""What is wrong with a training, in plain sentences: evidence, and one thing to try.

A *watch* turns events into small evidence records; a *rule* is a pure function from one record to a
verdict; a *latch* raises a finding when the illness held and takes it back when health held;
*telling* writes the sentence. ``catalogue`` lists all rules, the worst first.
"""

from nbtorchviz.analysis.findings.engine import Findings
from nbtorchviz.analysis.findings.finding import Finding

__all__ = ["Finding", "Findings"]
