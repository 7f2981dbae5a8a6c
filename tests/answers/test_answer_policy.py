r"""The policy of docs/answers.md, pair by pair: what says the same, what does not, and what nobody can tell."""

import pytest

from catlite.answers import compare, extract

SAME = r"""
Yes | yes
E | E: a polygenic trait
C | C. 90,000
293 | 256+37=293
3 | 10-7
5 | |AB|=5
|x|=5 | |x| = 5
5 | f(3)=5
\emptyset | \varnothing
x<1 or x>2 | (-\infty,1)\cup(2,\infty)
x<1 \text{ or } x>2 | (-\infty,1)\cup(2,\infty)
x=1 or x=2 | \{1,2\}
x=1 or x=2 | {1,2}
\begin{pmatrix}1\\[6pt]2\end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix}
½ | 1/2
10⁶ | 1000000
0.\dot{3} | 1/3
{10 \choose 3} | 120
\boldsymbol{5} | 5
36 | 36 km/h
V_1:V_2=11:21 | 11:21
y=2x+3 | f(x)=2x+3
3 \text{ north} | 3 north
five | 5
twenty-one | 21
Twenty one cats | 21
three hundred and five | 305
two thirds | \frac{2}{3}
3 hundred | 300
three hundred dollars | \$300
\$5 | 5 dollars
5 USD | \$5.00
1.2 lakh | 120000
1 third | 1/3
half | 1/2
one half | 0.5
three and a half | 3.5
3 quarters | 3/4
24 eggs | 2 dozen eggs
12 apples | 12 red apples
10 miles per hour | 10 mph
10 mi/h | 10 miles/hour
9.8 m/s^2 | 9.8 meters per second squared
25\pi \text{ square inches} | 25\pi
25\pi \text{ square inches} | 25π in^2
3\sqrt{2} cm | 3\sqrt2
\frac{3}{4} cup | 3/4
1\frac{1}{2} hours | 1.5 hours
5:30 pm | 5:30 p.m.
90° | 90
90° | 90 degrees
\sin 30° | 1/2
x=5 | 5
x=5, y=6 | y=6, x=5
a=5, b=6 | (5,6)
B | (B)
B | B) 5
Option B | B
option B | (b)
3x+2 | 2+3x
x^2+2x+1 | (x+1)^2
ab+cd | cd+ab
xy | yx
(3,4] | (3, 4]
1 \le x \le 2 | [1,2]
x \in [1,2] | 1 \le x \le 2
x \in (1,2) | 1 < x < 2
x \in (1,2) | (1,2)
3 > x | x < 3
x \ne 3 | (-\infty,3)\cup(3,\infty)
\mathbb{R} | (-\infty,\infty)
all real numbers | (-\infty, \infty)
(-\infty,-2)\cup(2,\infty) | x<-2 or x>2
1,234,567 | 1234567
1,234 dollars | 1234
(1,234) | (1,234)
\frac{1}{2}, \frac{1}{3} | 1/3, 1/2
2\text{ or }3 | 2\text{ or }3
-\frac{b}{a} | -b/a
\frac{-b}{a} | -\frac{b}{a}
\sqrt{50} | 5\sqrt{2}
√50 | 5√2
2√3 | 2\sqrt{3}
sqrt(2+sqrt(3)) | \sqrt{2+\sqrt{3}}
5^{\circ}C | 5°C
5°C | 5
1e3 | 1000
1.0 | 1
50% | 0.5
50% | 50
0.142857142857... | 1/7
0.1818... | 2/11
0.1\overline{6} | 1/6
0.(3) | 1/3
Monday | monday
on Monday | Monday
\text{red, blue} | blue, red
red and blue | blue and red
5! | 120
5_2 | 5_{2}
101_2 | 101_{2}
101_2 | 101
\infty | +\infty
a | A
one | 1
1st | 1st
5k | 5000
2.5k | 2500
\$2.5 million | 2500000
\$2.5 million | 2,500,000 dollars
5 million people | 5,000,000
3 cm^2 | 3 square centimeters
3 sq cm | 3 cm²
3\text{ cm}^2 | 3
3\text{ cm}^{2} | 3 square cm
5 kg | 5 kilograms
5 hours | 5 hrs
5 h | 5 hours
5 people | 5
3:4 | 3/4
3:4 | 3 : 4
3:4 | 3 to 4
x^2+y^2=25 | y^2+x^2=25
3x+4y=12 | 12=3x+4y
3x+4y-12=0 | -3x-4y+12=0
f(x)=2x+3 | 2x+3
S=\{1,2,3\} | \{1,2,3\}
S=\{1,2,3\} | \{3,2,1\}
1,2,3 | 3,2,1
\{1\} | 1
\{\} | \varnothing
no real solutions | \emptyset
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix}1&2\\3&4\end{bmatrix}
\begin{pmatrix} x+1 \\ 2 \end{pmatrix} | \begin{pmatrix} 1+x \\ 2 \end{pmatrix}
\frac{\pi}{4} | \pi/4
\frac{\pi}{4} | 0.25\pi
3+4i | 4i+3
i^2 | -1
(1+i)^2 | 2i
e^{2} | e^2
\ln 2 | \ln(2)
\log_2 8 | 3
\log_{2}8 | 3
\frac{\sqrt{3}}{3} | \frac{1}{\sqrt{3}}
2^{1/2} | \sqrt{2}
x^{1/2} | \sqrt{x}
2\frac{1}{2} | 2.5
2 1/2 | 2.5
-3 | −3
- \frac{1}{2} | -\frac12
\frac{-1}{2} | -\frac{1}{2}
{\frac{1}{2}} | 0.5
\dfrac{1}{2} | 1/2
\left(\frac{1}{2}\right) | 0.5
0.3333333333333333 | 1/3
1.4142135623730951 | \sqrt{2}
100 | 10^2
10^2 | 100
6.02\times 10^{23} | 6.02e23
6.02 × 10²³ | 6.02 \cdot 10^{23}
p \to q | p \to q
Alice. | alice
\text{Alice} | Alice
(A) red | A
A, C | A and C
AC | A, C
The blue one | blue one
5 cm, 6 cm | 5, 6
\pm 3 | 3, -3
x = \pm 3 | \pm 3
2 \pm \sqrt{3} | 2+\sqrt3, 2-\sqrt3
(2,3), (4,5) | (4,5), (2,3)
\{(1,2),(3,4)\} | (3,4),(1,2)
9 | 3 squared
2n-1 | 2n - 1
(x+1)(x-1) | x^2-1
\frac{x^2-1}{x-1} | x+1
180-x | -x+180
\overline{AB} | \overline{AB}
AB=5 | 5
\triangle ABC | \triangle ABC
5x=10 | x=2
x = 2 \text{ or } x = 3 | x = 3 \text{ or } x = 2
x=2 and x=3 | 2, 3
2,3 | x=2, x=3
4 p.m. | 4 pm
4 PM | 4
€5 | 5 euros
£5 | 5 pounds sterling
100 km/h | 100 kilometers per hour
100 km/hr | 100 km/h
10 \text{ m/s} | 10 m/s
10 \text{ m s}^{-1} | 10 m/s
(-5) | -5
6/3 | 2
2^3 | 8
2^{-3} | 1/8
\frac{n(n+1)}{2} | \frac{n^2+n}{2}
n(n+1)/2 | \frac{n(n+1)}{2}
\alpha | α
\sin(x) | \sin x
\sin^2 x | (\sin x)^2
1:2:3 | 1 : 2 : 3
20\% | \frac{1}{5}
20% increase | 20%
seven hundred | 700
Seventy-five percent | 75%
a dozen | 12
one and a half | 3/2
five sixths | 5/6
two thousand twenty-four | 2024
two, three | 2,3
\frac{1}{2} \text{ hour} | 0.5 hours
x^{2} + 1 | x^2+1
\text{x} | x
\text{ and } | \text{and}
\textbf{B} | (B)
\left\{1, 2\right\} | \{2, 1\}
\left[ 1, 2 \right] | [1,2]
3\times 4 | 12
3 \cdot 4 | 12
3 \times 4 | 3 by 4
1\,000 | 1000
1\ 000 | 1000
0.50 dollars | \$0.50
50 cents | 50
6 cats | 6 cats total
—3 | -3
3'000 | 3000
1.234.567 | 1234567
1.234.567,89 | 1234567.89
12,50 € | €12.50
1.0 x 10^6 | 1000000
3 x 10^8 m/s | 3e8 m/s
3 x 4 | 3 × 4
3x4 | 3 by 4
2 x 3 = 6 | 6
£3 | 3 pounds
\$2.5M | 2.5 million dollars
5\ \frac{\text{m}}{\text{s}} | 5 m/s
5 cm2 | 5 cm^2
12" | 12 inches
5'3" | 5 feet 3 inches
2 h 30 min | 2 hours and 30 minutes
20% off | 20%
42 Äpfel | 42
42元 | 42
(-inf, 3] | x \le 3
[3, oo) | [3, Infinity)
-\infty | negative infinity
\{x : x > 3\} | x > 3
\{x \in \mathbb{R} \mid x \ge 3\} | [3,\infty)
(-\infty, -1) U (1, \infty) | (-\infty,-1)\cup(1,\infty)
(-\infty, -1) or (1, \infty) | (-\infty,-1)\cup(1,\infty)
]-1,2] | -1 < x \le 2
[0,0.5[ | 0 \le x < 0.5
\mathbb{R} - \{1\} | x \ne 1
all real numbers except 0 | x \neq 0
x \in \mathbb{R}, x \neq 0 | x \ne 0
x_1=1, x_2=2 | x=2 or x=1
(x,y)=(1,2) | x=1, y=2
(x,y)=(1,2) | y=2, x=1
+/-2 | \pm 2
1 & 2 | 1, 2
Alice & Bob | Bob and Alice
x=3 \\ y=4 | x=3, y=4
\\frac{1}{2} | \frac{1}{2}
\\text{Paris} | Paris
\frac{\sqrt{3}}{2} | \frac{\sqrt 3}2
∛16 | 2∛2
\dbinom{5}{2} | 10
{}_5C_2 | 10
Yes! | yes
"Paris" | Paris
“Paris” | \text{Paris}
'a', "b" | a, b
_Paris_ | Paris
Dr. Smith | Dr Smith
U.S. | US
non-prime | non prime
A | "A"
A | A - Paris
A | The answer is A
= 5 | 5
either 5 or 6 | 5 or 6
May 6, 2020 | May 6th 2020
May 6, 2020 | 6 May 2020
Jan 5 | January 5
first | 1st
third | the 3rd
DNE | does not exist
DNE | the limit does not exist
\emptyset | {}
no solution | There are no solutions.
negative five | -5
minus 5 | -5
5 degrees below zero | -5 degrees
one and two thirds | 5/3
5 gross | 720
x^2+y^2=1 | x^2+y^2-1=0
H_2O | H2O
C_6H_{12}O_6 | C6H12O6
(1011)_2 | 1011_2
\triangle ABC | △ABC
A∩B | A\cap B
3\hat{i} | 3\hat i
1 in 4 | 1/4
1 out of 4 | 0.25
US\$12 | 12 USD
5 MB | 5
5 mV | 5 millivolts
5 N·m | 5 \text{ N m}
6.63e-34 J·s | 6.63\times10^{-34}
5 μg | 5
5 μC | 5\,\mu\text{C}
5 \text{ μg} | 5 \text{ µg}
3 deg C | 3°C
n\pi, n \in \mathbb{Z} | n\pi
Domain: x > 1 | x > 1
3.14 (rounded to two decimals) | 3.14
\sim 3 | 3
\left\{ \begin{array}{l} a=5 \\ b=6 \end{array} \right. | a=5, b=6
∀x | \forall x
"""

DIFFERENT = r"""
ABC | CBA
no | on
H2O | OH2
HHT | THH
5 \text{ a.m.} | 5 \text{ p.m.}
5 m/s | 5 km/h
\$5 | 5\text{ cents}
\$5 | €5
€5 | 5\text{ cents}
2 dozen | 2
3 hundred | 3
1 third | 1
6 feet | 6 cats
3 north | 3 south
24 eggs | 2 dozen apples
12 green apples | 12 red apples
10 miles | 10 miles per hour
9.8 m/s^2 | 9.8 m/s
25\pi \text{ square inches} | 25π cm^2
1.5 hours | 1.5 minutes
5:30 pm | 5:30 am
90° | 90 radians
x=5 | 6
x=5 | y=5
a=5, b=6 | (6,5)
B | C) 5
B | B and C
3x | 3
3xy | 3
3 xyz | 3
2 ab c | 2
5s+2 | 5
3X | 3x
x^2+2x+1 | (x+1)^3
ab | ba
(3,4] | [3,4]
x \in (1,2) | (1,3)
x<3 | x>3
x<3 | y<3
(-\infty,-2)\cup(2,\infty) | x<-2 or x>3
(1,234) | 1234
2\text{ or }3 | 2,3
2√3 | 2\sqrt{33}
5°C | 5°F
50% | 5
0.5 | 50
0.142857 | 1/7
Monday | Tuesday
Tom | Ann
red | red and blue
5 apples and 3 pears | 8
12 | 12!
5 | 5 or 6
5 | not 5
5 | less than 5
5 | at least 5
5 | >5
5 | 5+
5 | -5
5 | 5-
5 | ±5
5 | 5i
5 | 5e
5 | 5\pi
5 | 5^2
101_2 | 101_3
\infty | 3
\infty | -\infty
1/0 | 5
0/0 | 1
A | B
A | AB
r | 2r
R^2 | r^2
e | E
5 | five hundred
5 | fifteen
one | two
one | first
third | 3
1st | 1
3rd | 3
21st | 21
5 K | 5
5k | 5
\$2.5 million | 2.5
2.5 million | 2.5 billion
3 cm | 3 cm^2
3 cm^2 | 3 cm^3
5 kg | 5 g
5 N | 5 J
5 \text{ ft} | 5 \text{ in}
5' | 5''
5 hours | 5 minutes
5 days | 5 weeks
5 boys | 5 girls
5 wins | 5 losses
5 heads | 5 tails
5 million | 5 thousand
3:4 | 4:3
12:30 | 12:31
555-1234 | -679
555-1234 | 555-1235
3-5 | 2
12:30 pm | 12:30 am
3 m by 4 m | 12
x+1 | x-1
x+1 | 1
x | 1
x/x | 1
x^2=4 | x=2
x^2=4 | x=\pm 2
x^2+y^2=25 | x^2+y^2=5
x^2+y^2=25 | 25
3x+4y-12=0 | 3x-4y-12=0
y=2x+3 | y=2x-3
y=2x+3 | x=2y+3
f(x)=2x+3 | g(x)=2x+3
f(x)=2x+3 | 2x-3
\{1,2,3\} | (1,2,3)
(1,2,3) | (3,2,1)
\{1,2\} | \{1\}
\{1,2\} | 12
\emptyset | 0
\emptyset | \{0\}
no solution | 0
none | 0
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{vmatrix}1&2\\3&4\end{vmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&3\\2&4\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | (1,2)
\begin{cases}x=1\\y=2\end{cases} | x=2,y=1
\frac{\pi}{4} | 0.785
\frac{\pi}{4} | 0.7854
3+4i | 3-4i
e^2 | 7.389
\ln 2 | \log_{10} 2
2 1/2 | 21/2
2 1/2 | 1
21 | 2 1
2, 1 | 21
-\frac12 | \frac12
0.33 | 1/3
3.14 | \pi
22/7 | \pi
0.3333333333333333 | 1/4
6.02\times 10^{23} | 6.02\times 10^{22}
p \to q | q \to p
p - q | q - p
Alice | Bob
(A) | (B)
(A) red | (B) red
(A) red | B
AC | C, A, B
AC | CA
True | False
true | 1
yes | 1
yes | no
cat | cats dogs
5 cm, 6 cm | 5 m, 6 m
\pm 3 | 3
(2,3), (4,5) | (2,4), (3,5)
[0,1) | (0,1]
(1,2) | \{1,2\}
(1,2) | 12
(1,2) | 1.2
1.2 | 12
1,2 | 1.2
3 | 3 squared
2n | n
2n | 2
n | 2n
2n-1 | 2n+1
(x+1)(x-1) | x^2+1
180-x | x-180
\overline{AB} | \overline{CD}
AB | BA
\angle ABC | \angle ACB
\triangle ABC | \triangle DEF
5x=10 | 10
5x=10 | x=3
x=2, y=3 | x=3, y=2
3 | x=2, x=3
5 feet 3 inches | 5
5 feet 3 inches | 5 feet
12 hours 30 minutes | 12
no | none
on | no
3 red | 3 blue
3 left turns | 3 right turns
4 pm | 4 am
4 p.m. | 4 a.m.
$5 | 5 cents
5¢ | \$5
5 euros | \$5
£5 | 5 kg
100 km | 100 miles
100 km/h | 100 km
100 km/h | 100 mph
5 m^2 | 5 m
10 \text{ m/s} | 10 \text{ km/h}
-5 | 5
(-5) | 5
1/3 | 3
3/1 | 1/3
\frac{1}{3} | \frac{3}{1}
2^3 | 6
2^{-3} | 8
n^2 | n
n(n+1)/2 | n(n-1)/2
a_1 | a_2
x_1 | x
\alpha | \beta
\sin x | \cos x
\sqrt{2} | 2
\sqrt[3]{2} | \sqrt{2}
|x| | x
\emptyset | \{1\}
\mathbb{R} | \mathbb{Z}
\mathbb{N} | \mathbb{Z}
(0,1) | [0,1]
x \ge 1 | x > 1
x > 1 | x > 2
x \in \{1,2\} | x \in \{1,3\}
1 < x < 2 | 1 < x < 3
1 < x < 2 | 1 \le x < 2
x<1 or x>2 | (-\infty,1]\cup(2,\infty)
x<1 and x>2 | x<1 or x>2
Tuesday | Thursday
north | south
north | northeast
increase | decrease
convergent | divergent
rational | irrational
prime | not prime
true | not true
A and B | A or B
A, B | A
I | II
II | 11
all | none
0 | none
undefined | 0
DNE | 0
5 | 5 6
5 | 5, 6
5 | 55
5.5 | 55
1,5 | 15
1 000 | 1
10,000 | 10
1,000,000 | 1,000
12.50 | 1250
2:30 | 3:30
2:30 | 2.5
1:2:3 | 1:2:4
5 (six) | 5
5 (not 6) | 6
x = 5 | 5x
f(x) = x^2 | f(x) = x^3
f(x) = x^2 | x^3
\frac{dy}{dx} | 1
5! | 5
5!! | 5!
\pi | 3
2\pi | 2
2\pi | 6.28
e^x | x
x^2 | 2x
\log_2 3 | \log_3 2
i | 1
2i | 2
-i | i
3+4i | 7
3,4i | 3+4i
\begin{pmatrix}1&2\end{pmatrix} | \begin{pmatrix}1&3\end{pmatrix}
\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1&2\end{pmatrix}
20% | 20 cents
20% | 0.02
20\% | 5
increase of 20% | decrease of 20%
20% increase | 20% decrease
1st | 2nd
first | second
7 | seven hundred
one and a half | 1
five sixths | 5
five sixths | 56
twenty five hundred | 25
two, three | 23
three or four | 3,4
three to four | 3
3 - 4 | 3
\frac{1}{2} \text{ hour} | 30 minutes
\text{B and C} | B
B, C | (B, D)
3 \times 4 | 3 \times 5
1\ 000 | 1
50 cents | 50 dollars
6 cats | 6 dogs
6 cats | 7 cats
6 cats | cats
6 | cats 6
3a | 3
3a^2 | 3
3an | 3
3a cm | 3
5 A | 5
10\text{x} | 10
3\text{a} | 3
5 \text{MW} | 5 \text{mW}
5 below zero | 5
1e-3 | e-3
\emptyset | \{\emptyset\}
\{\{1\},\{2\}\} | \{1,2\}
x=5 or 6 | y=5 or 6
A^T | A
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}^T
\sin x/2 | \sin(x/2)
\ln 2/2 | 0
one and two thirds | 1
5 plus | 5
5 MB | 5 GB
5 mV | 5 MV
2\mu g | 2
2 g·h | 2
(fg)' = f'g' | fg=fg
42元 | 42 美元
5 м | 5 км
£5 | 5 lb
5 pounds | 5 kg
\$5M | 5 m
1.234.567 | 1.234567
12,50 € | 1250
12,50 | 12.50
May 6 | May 16
5 marbles | 5 March
second | 3rd
]1,2[ | [1,2]
(x,y)=(1,2) | (x,y)=(2,1)
x_1=1, x_2=2 | x_1=2, x_2=1
\{x : x > 3\} | \{x : x \ge 3\}
all real numbers except 0 | 0
A - B | A
A - BCD | A
A - xyz | A
n! | n
re-sign | resign
3x4 | 12
0x10 | 0
\infty | oo7
C_6H_{12}O_6 | C6H1206
2 hours 30 minutes | 2.5 minutes
"""

UNDECIDED = r"""
y=2x+1 | 2x+1
y=2x+1 | y-2x=1
2x+3y=6 | 4x+6y=12
1<x<2 | (1,2)
1/2x | \frac{1}{2x}
2/3/4 | 1/6
2^10 | 1024
x^12 | x^{12}
3 quarters | 3
15:30 | 1/2
3-5 | -2
|x|=5 | 5
\frac12 3 | 3/2
\sqrt{2}5 | 5\sqrt{2}
\log_{10} 100 | \log 100
\arcsin x | \sin^{-1} x
\binom{n}{2} | \frac{n(n-1)}{2}
\lfloor 2.5 \rfloor | 2
C. 90 | C. 80
"""


def pairs(block):
    return [tuple(line.split(" | ")) for line in block.strip().splitlines()]


@pytest.mark.parametrize(("a", "b"), pairs(SAME))
def test_the_same_answer_written_in_two_ways_is_one_answer(a, b):
    assert compare(a, b) is True
    assert compare(b, a) is True


@pytest.mark.parametrize(("a", "b"), pairs(DIFFERENT))
def test_another_answer_is_never_taken_for_the_same(a, b):
    assert compare(a, b) is not True
    assert compare(b, a) is not True


@pytest.mark.parametrize(("a", "b"), pairs(UNDECIDED))
def test_what_careful_readers_may_read_in_two_ways_is_none(a, b):
    assert compare(a, b) is None
    assert compare(b, a) is None


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("5 or 6", "x = 6 or x = 5", True),
        ("x = 5 or 6", "x = 5 or x = 6", True),
        ("x = 5 or y = 6", "x = 6 or y = 5", False),
        ("5 or 6", "5", False),
        ("5 or 6", "5, 6", False),
        ("x+y=1", "y+x=1", True),
        ("x-y=1", "y-x=1", False),
        ("2020-05-06", "2009", False),
        ("1-2-3", "-4", False),
        ("6:4", "3:2", True),
        ("6:4", "2:3", False),
        ("12:30", "2:5", None),
        ("9:00 AM", "9 a.m.", True),
        ("9:00 AM", "9 PM", False),
        ("9:30 AM", "9 AM", False),
    ],
)
def test_alternatives_sums_dates_ratios_and_full_hours_are_read_as_such(a, b, verdict):
    assert compare(a, b) is verdict
    assert compare(b, a) is verdict


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("So the answer is 5, not 6.", "5"),
        ("The answer is 5 rather than 6.", "5"),
        ("Answer: $1,000 and $2,000", "$1,000 and $2,000"),
        ("Answer: $5", "$5"),
        ("The answer is $5$ dollars.", "5"),
    ],
)
def test_an_announced_answer_ends_before_what_it_is_not_and_money_is_no_mathematics(reply, answer):
    assert extract(reply) == answer
