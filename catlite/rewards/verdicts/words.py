"""Holds the closed lists of verdict words, and turns a reply into plain words.

`plain` removes decoration (bold, boxes, headings, brackets, control characters) and puts a stand-in in the place of a
quotation, since a judge does not say what it quotes. Left out: stemming, spelling, and guessing a language.
"""

from __future__ import annotations

import re
import unicodedata

# In the larger languages, where the word means the same in all of them ("ne", "nai" and "si" do not).
_YES = "yes|yep|yeah|yup|ja|oui|sí|sì|sim|да|da|tak|evet|是|是的|满足|はい|예|네|نعم|हाँ"
_NO = "no|nope|nah|nein|non|não|nao|nee|нет|nej|nie|hayır|否|不是|不|不满足|いいえ|아니요|아니오|لا|नहीं"
# Statements that are as plain as a yes, and words that deny. Other foreign words say neither.
FOREIGN_YES = re.compile(
    r"(?:(?:この)?(?:回答|応答)は)?(?:基準|条件|要件)?を?満た(?:しています|している|します|す)|はい、?そうです|"
    r"その通りです"
    r"|(?:这个?|该|此)?(?:回答|答案|回复|文本)?(?:中)?(?:完全|明确)?(?:满足|符合|提到|提及|"
    r"包含)了?[\u4e00-\u9fff]{0,20}"
    r"|(?:(?:이 |해당 )?(?:응답|답변)[은이] )?"
    r"(?:(?:이 )?(?:기준|조건)[을이] )?충족(?:합니다|됩니다|되었습니다|했습니다)"
    r"|(?:le critère|il|la condition|c') ?est (?:bien |entièrement )?(?:satisfaite?|remplie?|respectée?)"
    r"|(?:das kriterium ist |kriterium )?(?:voll(?:ständig)? )?erfüllt|das (?:steht da|stimmt)|"
    r"het criterium is vervuld|kryterium jest spełnione"
    r"|(?:la respuesta |o texto |a resposta )?(?:se )?(?:cumple|cumpre|atende)(?: (?:el|o|ao) critério| el criterio)?"
    r"|la réponse (?:mentionne|nomme|cite) (?:bien |clairement )?(?:le |la |les |l'|du )?[\w-]+"
    r"|die antwort (?:nennt|erwähnt|enthält) [\w-]+|la respuesta (?:menciona|nombra) (?:el |la |los |las )?[\w-]+"
    r"|o texto diz isso|le texte le dit|(?:el criterio )?se cumple|criterio cumplido|critère (?:rempli|satisfait|"
    r"respecté)"
    r"|il criterio è soddisfatto|o critério (?:é|foi) (?:atendido|cumprido|satisfeito)"
    r"|критерий (?:полностью )?(?:выполнен|соблюд[её]н)"
    r"|kriteriet är uppfyllt|kriteriet er oppfylt|kriter karşılanıyor|(?:हाँ, )?पूरा (?:हुआ|होता है)"
)
FOREIGN_NO = re.compile(
    r"\b(?:nicht|kein(?:e|en|er|es|em)?|niemals|fehl(?:t|en)|leider|niet|geen|nooit|ontbre\w+|n'\w+ pas|ne|pas|"
    r"aucune?|jamais|manquent?|malheureusement|non(?!-)|não|nao|nem|nunca|falta|tampoco|ningun\w*|nessun\w*|manca|"
    r"purtroppo|nie|brak\w*|"
    r"inte|ej|saknas|ikke|mangler|değil|yok|не|нет|ни|отсутств\w+|немає|нема|δεν|μη|όχι|ei|לא|אין|لا|لم|لن|ليس|ليست|"
    r"غير|"
    r"rien|nichts|nada|niente|niets|nic|niks|ничего|\w+m[ıiuü]yor\w*|\w+m[ae](?:d[ıi]|m[ıi]ş))\b"
    r"|न(?:हीं|ही)|ませ?ん|ない|なか|違|欠|不|没|未|无|無|缺|非|否|않|못|아니|아닙|아닌|없"
    # … or make less of a yes: half, a part, perhaps, nearly, if.
    r"|半|部分|多数|大多|可能|也许|或许|似乎|几乎|若|如果|假如|吗|かも|一部|ほぼ|べき|일부|부분|거의"
)
# A denial of the same statements, and the labels that stand before a verdict. "Respuesta" can also be the response.
FOREIGN_UNMET = re.compile(
    r"(?:das kriterium ist |kriterium )?(?:leider )?nicht (?:voll(?:ständig)? )?erfüllt"
    r"|(?:le critère|il|la condition|c') ?n'est (?:donc )?pas (?:satisfaite?|remplie?|respectée?)|non (?:satisfait|"
    r"rempli)"
    r"|(?:el criterio )?no se cumple(?: el criterio)?|(?:la respuesta )?no cumple(?: (?:con )?el criterio)?"
    r"|(?:o critério )?não (?:é|foi) (?:atendido|cumprido|satisfeito)|não (?:atende|cumpre)(?: (?:a?o) critério)?"
    r"|(?:il criterio )?non (?:è )?soddisfatto|(?:het criterium is )?niet (?:vervuld|voldaan)"
    r"|(?:критерий )?не (?:выполнен|соблюд[её]н)|kryterium nie jest spełnione|kriteriet (?:är|er) (?:inte|"
    r"ikke) (?:uppfyllt|oppfylt)"
    r"|(?:该|此|这个?)?(?:回答|答案|回复|文本|标准|条件)?(?:并?不|未|没有?|未能|并未|并没有)(?:完全)?(?:满足|符合|达到)"
    r"(?:(?:该|此|这个?|这一)?(?:标准|条件|要求))?"
    r"|(?:基準|条件|要件)?[をは]?満たし(?:ていません|ていない|ません)|(?:(?:이 )?(?:기준|"
    r"조건)[을이] )?충족하지 (?:않습니다|못합니다)"
)
FOREIGN_LABEL = (
    r"urteil|fazit|ergebnis|bewertung|entscheidung|résultat|décision|jugement|veredicto|resultado|conclusión|decisión|"
    r"veredito|conclusão|decisão|verdetto|conclusione|oordeel|conclusie|вердикт|вывод|итог|решение|"
    r"(?:最终)?(?:结论|判定|判断|结果|答案)|結論|判定結果|評価|판정|결론|wynik|werdykt|karar|sonuç"
)
_MET = "met|meets|satisfied|satisfies|fulfilled|fulfiled|pass|passed|passes|correct|true|y"
_UNMET = "unmet|unsatisfied|unfulfilled|fail|failed|fails|incorrect|false|n"
POSITIVE_SIGNS, NEGATIVE_SIGNS = "✅✔✓☑👍🟢", "❌✗✘✖👎🔴"
# A word that answers a question in any place, and one that is a verdict only where one is expected.
ANSWERS = dict.fromkeys(_YES.split("|"), True) | dict.fromkeys(_NO.split("|"), False)
DIGITS = {"1": True, "0": False, "1.0": True, "0.0": False, "1/1": True, "0/1": False}
SIGNS = dict.fromkeys(POSITIVE_SIGNS, True) | dict.fromkeys(NEGATIVE_SIGNS, False)
VERDICTS = dict.fromkeys(_MET.split("|"), True) | dict.fromkeys(_UNMET.split("|"), False)
# Whole answers of more than one word.
_REFUSALS = (
    r"not at all|(?:absolutely|certainly|definitely|clearly|obviously|of course|surely|unfortunately) not|"
    r"far from it|by no means|in no way|no way|not in the least|not remotely|not even close|"
    r"(?:does|did) not (?:meet|satisfy|fulfill?|pass)|(?:fails|failed) to (?:meet|satisfy|fulfill?|pass)|"
    r"i do not (?:think|believe) so|i (?:think|believe|am afraid) not"
)
_SURE = (
    r"definitely|clearly|absolutely|certainly|undoubtedly|unquestionably|obviously|plainly|simply|firmly|still|"
    r"an? (?:clear|definite|firm|plain|resounding|absolute)"
)
_WHOLLY = r"fully|completely|entirely|totally|wholly"
_NOT = rf"not(?:[ -](?:{_WHOLLY}|adequately|sufficiently|quite|yet|at all|actually|really|even))?"
_LISTED = "|".join(sorted(map(re.escape, {**ANSWERS, **VERDICTS}), key=len, reverse=True))
_WORD = re.compile(
    rf"(?:(?:{_SURE}) )*(?:(?P<refusal>{_REFUSALS})|(?P<not>{_NOT}[ -])?(?:(?:{_WHOLLY}) )*(?P<word>{_LISTED})"
    r"(?: (?:indeed|definitely|absolutely|certainly|of course|at all))?)"
)

_INVISIBLE = re.compile(r"[\u200b-\u200d\u2060\ufe0e\ufe0f\ufeff\u00ad]")
_DOUBLE_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»「」『』", '"') | dict.fromkeys("‘’ʼ‚‛`´", "'"))
_BOXED = re.compile(r"\\(?:boxed|fbox|text|textbf|textit|mathrm|mathbf|emph)\s{0,3}\{([^{}\n]{0,300})\}")
_STRUCK = re.compile(r"~~[^~\n]{0,300}~~|(?:\[\s?\]|[☐▢◻])[^\[☐☑✅\n]{0,300}")
_TICKED = re.compile(r"\[[xX✓✔]\]|☑")
_QUOTED = re.compile(r'"([^"\n]{0,2000})"|(?<!\w)\'(?=\S)([^\n]{1,500}?)(?<=\S)\'(?!\w)')
# Brackets and decoration, and what is contracted.
_PLAINER = {
    re.compile(pattern, re.MULTILINE): plainer
    for pattern, plainer in {
        r"\[(\[[^\[\]\n]{0,300}\])\]": r"\1",
        # "[RESULT] Yes": a word in brackets before another word is a label.
        r"(?:^|(?<=[.!?] ))[\s*_#>]{0,9}\[([^\[\]\n]{1,60})\][*_\s]*:?(?=[ \t*_]*[^\s.!*_])": r"\1: ",
        r"\s?(?:!==?|≠|=/=)\s?": " is not ",
        r"[*`]+|(?<!\w)_+|_+(?!\w)|\$|^\s{0,8}(?:#{1,6}|>|[-+•–]\s)\s*": "",
        r"\bcan(?:'t|not)\b": "can not", r"\bwon't\b": "will not", r"(?<=\w)n't\b": " not", r"\bi'm\b": "i am",
        r"\b(it|that|there|here|what|who|he|she)'s\b": r"\1 is", r"(?<=\w)'re\b": " are", r"(?<=\w)'ve\b": " have",
        r"(?<=\w)'d\b": " would", r"(?<=\w)'ll\b": " will",
    }.items()
}  # fmt: skip
_STRAY_DOT = re.compile(r"\s\.(?=\s+[^\W\d_A-Z])")
_LABELLED = re.compile(r"[\w ]{1,40}[*_`]*[:=)]|[-+•–>|#]\s|\d")  # "met: yes", or an item of a list
# No sentence ends with these, and no label.
OPEN_END = (
    r"\b(?:is|are|was|were|be|been|being|not|never|hardly|barely|scarcely|almost|nearly|that|whether|the|an?|of|to|as|"
    r"by|"
    r"than|but|far from|nor|or|if|unless|would|could|should|might|may|can|will|must|considered|called|deemed|say|"
    r"believe|think|doubt|claim|conclude|believing|saying|thinking)"
)
_OPEN_END = re.compile(rf"{OPEN_END}\Z", re.IGNORECASE)
_SHORT = 60  # characters
QUOTATION, UNTICKED = "quotation", "unticked"  # stand where something was quoted, and for a box with nothing behind it


def word_value(text: str, *, digits: bool = False) -> bool | None:
    """The verdict of a text that is one word of the lists, perhaps behind "clearly" or "not"; None for any other."""
    bare = text.rstrip(" \t.!,;:\"'()").lstrip(" \t.,;:\"'(¡¿")  # "!met" is not "met"
    if bare in SIGNS:
        return SIGNS[bare]
    if digits and bare in DIGITS:
        return DIGITS[bare]
    match = _WORD.fullmatch(bare)
    if match is None:
        return None
    if match["refusal"]:
        return False
    word = match["word"]
    if match["not"]:
        # "not met" is one word; "not fail", "not no" and "not yes" are none that is listed.
        return False if VERDICTS.get(word) and word not in ("y", "meets", "satisfies", "passes") else None
    return ANSWERS[word] if word in ANSWERS else VERDICTS[word]


def unwrapped(text: str) -> str:
    """Join the sentences of `text` that a line break, or a dot between spaces, runs through.

    A line goes on in the next one where that begins in lower case, or where it ends as no sentence does ("is not"):
    then also across a blank line.
    """
    joined: list[str] = []
    for line in _STRAY_DOT.sub(" ", text).split("\n"):
        bare = line.strip(" \t*_`")
        blank = bool(joined) and not joined[-1].strip()
        before = (joined[-2] if blank and len(joined) > 1 else joined[-1] if joined else "").rstrip(" \t*_`")
        wrapped = bare[:1].islower() and not blank and (before[-1:].isalnum() or before.endswith((",", "'", '"', ")")))
        wrapped = wrapped and not (len(before) < _SHORT and word_value(plain(before)) is not None)
        if bare and not _LABELLED.match(bare) and (wrapped or _OPEN_END.search(before[-_SHORT:])):
            del joined[-2 if blank else -1 :]
            joined.append(f"{before} {bare}")
        else:
            joined.append(line)
    return "\n".join(joined)


def plain(text: str) -> str:
    """`text` in lower case without decoration, its contractions written out, its quotations replaced."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_DOUBLE_QUOTES)
    for _ in range(3):
        text = _BOXED.sub(r"\1", text)
    text = _STRUCK.sub(lambda match: f" {UNTICKED}" if match[0].strip("[] ☐▢◻*_`.") == "" else "", text)
    text = _TICKED.sub("", text).lower()
    bare = text.strip(" \t\r\n*_.")
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'" and bare.count(bare[0]) == 2:
        text = bare[1:-1]  # the whole reply in quotes
    for pattern, plainer in _PLAINER.items():
        text = pattern.sub(plainer, text)
    text = _QUOTED.sub(_unquoted, text).replace("_", " ")
    return text.translate({ord("["): "(", ord("]"): ")", ord("{"): "(", ord("}"): ")"})


def _unquoted(match: re.Match[str]) -> str:
    """A listed word that stands alone, or behind a colon or "is", is the judge's own; the rest is a quotation."""
    inside = (match[1] if match[1] is not None else match[2]).strip()
    line = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()].rstrip()
    rest = match.string[match.end() :].lstrip(" \t.!)")
    alone = not rest or rest.startswith("\n")
    if alone and word_value(inside, digits=True) is not None and (not line or line.endswith((":", "=", " is", "("))):
        return inside
    return f" {QUOTATION} "
