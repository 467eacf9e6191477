"""Peoples and languages, and the countries whose they are: general knowledge, one line a country."""

from __future__ import annotations

_ROWS = """
american|usa|united states|united states of america|us|america
british|uk|united kingdom|great britain
english|england|uk|united kingdom
scottish|scotland
welsh|wales
irish|ireland
french|france
german|germany
spanish|spain
italian|italy
portuguese|portugal
dutch|netherlands|the netherlands
belgian|belgium
swiss|switzerland
austrian|austria
swedish|sweden
norwegian|norway
danish|denmark
finnish|finland
icelandic|iceland
polish|poland
czech|czech republic|czechia
slovak|slovakia
hungarian|hungary
romanian|romania
bulgarian|bulgaria
greek|greece
turkish|turkey
russian|russia
ukrainian|ukraine
serbian|serbia
croatian|croatia
slovenian|slovenia
estonian|estonia
latvian|latvia
lithuanian|lithuania
chinese|china
japanese|japan
korean|korea|south korea
indian|india
pakistani|pakistan
thai|thailand
vietnamese|vietnam
indonesian|indonesia
malaysian|malaysia
filipino|philippines
australian|australia
new zealander|new zealand
canadian|canada
mexican|mexico
brazilian|brazil
argentine|argentina
argentinian|argentina
chilean|chile
colombian|colombia
peruvian|peru
cuban|cuba
jamaican|jamaica
egyptian|egypt
moroccan|morocco
nigerian|nigeria
kenyan|kenya
ethiopian|ethiopia
south african|south africa
israeli|israel
iranian|iran
iraqi|iraq
saudi|saudi arabia
european|europe
asian|asia
african|africa
"""
DEMONYMS = {row.split("|")[0]: tuple(row.split("|")[1:]) for row in _ROWS.split("\n") if row}
"""The name of a people -> the names under which its country may be stored."""
for _places in list(DEMONYMS.values()):
    for _place in _places:
        DEMONYMS.setdefault(_place, tuple(other for other in _places if other != _place))

CODES = {
    "male": ("m",),
    "males": ("male", "m"),
    "female": ("f",),
    "females": ("female", "f"),
    "men": ("male", "m"),
    "women": ("female", "f"),
}
"""Words that are often stored as a letter."""
