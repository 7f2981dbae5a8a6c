r"""Final answers: find one in a reply, and decide whether two say the same.

`extract` reads the last complete `\boxed{}`, else the last line that announces an answer, else nothing; or it
follows a regular expression. What stands in a think block is never the answer. Every scan is linear.

`compare` goes three steps, each only when the one before it cannot tell:

1. *As text*, once notation is out of the way: spaces, `$`, `\left`, `\dfrac`, `\text{}`, a full stop,
   thousands commas. Words and choice letters ignore case, variables do not: r is not R.
2. *As plain numbers*, exactly: integers, decimals, `1.5\times10^{3}`, fractions, mixed numbers,
   `0.\overline{3}`. A decimal also equals a fraction that never ends (1/3) to six significant digits.
3. *As expressions*, by Math-Verify (Kydlíček, Hugging Face, 2025), in a child process that is killed after
   LIMIT_SECONDS: hostile answers sit in C code where no signal and no thread reaches. None means undecided.

Decided on purpose, where graders differ:

* What the question already says may be left out, on one side: "x =", a unit, a currency, `^\circ`, a percent
  sign, a numeral's base. Given on both sides it must agree: 5 cm is not 5 m, 204_5 is not 204_8.
* 50% equals 50 (the sign left out) and equals 1/2 (its value); 50 and 1/2 stay different.
* (1,2) is a pair or an open interval, so it is neither [1,2] nor (2,1) nor `\{1,2\}`. A bare list equals a set
  or another bare list in any order, and a tuple in the same order. \pm is both of its values.
* "1,000" is a thousand; "1,2" and "1, 000" are lists; (1,100) is a pair. "2 3" is not 23, "1 4/5" not 14/5.
* An answer over MAX_LENGTH characters is compared as text only.

Left out: reading an answer out of prose that announces none, converting units (1 m is not 100 cm), numbers in
words ("five" is not 5), and statements beyond what Math-Verify makes of equations and inequalities.
"""

from catlite.answers.comparing import LIMIT_SECONDS, MAX_LENGTH, acompare, compare, equivalent
from catlite.answers.extraction import check_format, extract
from catlite.answers.thinking import split_thinking, without_thinking

__all__ = [
    "LIMIT_SECONDS",
    "MAX_LENGTH",
    "acompare",
    "check_format",
    "compare",
    "equivalent",
    "extract",
    "split_thinking",
    "without_thinking",
]
