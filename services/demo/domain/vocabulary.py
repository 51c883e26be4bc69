"""The words of which French grocery names are made. Brands and towns are made up."""
# ruff: noqa: E501 - a shelf per line is a table; folded, nobody could read it

from dataclasses import dataclass

AMBIENT, CHILLED, FROZEN = "ambient", "chilled", "frozen"

BRANDS = (
    *("Val Doré", "Maison Aubrelle", "Les Prés Clairs", "Terroir d'Antan", "La Bonne Huche"),
    *("Grand Chêne", "Père Colibert", "Rive Verte", "Belle Saison", "Le Petit Cellier"),
    *("Montclar", "Ferme des Aulnes"),
)

TOWN_STARTS = (
    "Mont",
    "Ville",
    "Saint-",
    "Beau",
    "Fontaine-",
    "Roche",
    "Chante",
    "Clair",
    "Bois",
    "Pont-",
)
TOWN_ENDS = (
    *("aubry", "lieu", "rive", "merle", "vaux", "court", "bray", "fleur", "noye", "selve"),
    *("mézières", "lande", "gny", "champ", "oison"),
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """One leaf of the category tree and the words for what lies on it.

    Attributes:
        path: Three levels, from the widest to the narrowest.
        temperature: That everything on it needs.
        nouns: What it is.
        variants: How it is.
        sizes: Pairs of what the label says and grams or millilitres of one piece; empty when the
            products are sold by weight.
        price_minor: Least and most of a typical price, in cents, per piece or per kilogram.
    """

    path: tuple[str, str, str]
    temperature: str
    nouns: tuple[str, ...]
    variants: tuple[str, ...]
    sizes: tuple[tuple[str, int], ...]
    price_minor: tuple[int, int]


_BOX = (("250 g", 250), ("500 g", 500), ("1 kg", 1000))
_CAN = (("200 g", 200), ("400 g", 400), ("800 g", 800))
_BOTTLE = (("33 cl", 330), ("75 cl", 750), ("1 l", 1000), ("1,5 l", 1500))
_POT = (("125 g", 125), ("4 x 125 g", 500), ("500 g", 500))
_PACK = (("x 2", 200), ("x 4", 400), ("x 6", 600))
_PIECE = (("la pièce", 300), ("lot de 2", 600), ("lot de 3", 900))
_LOOSE: tuple[tuple[str, int], ...] = ()

SHELVES = (
    Shelf(("Fruits et légumes", "Fruits", "Fruits de saison"), AMBIENT, ("Pommes", "Poires", "Raisin", "Prunes", "Abricots", "Pêches", "Cerises", "Kiwis"), ("Gala", "Golden", "bio", "de pays", "gros calibre", "catégorie 1"), _LOOSE, (180, 590)),
    Shelf(("Fruits et légumes", "Fruits", "Agrumes et exotiques"), AMBIENT, ("Oranges", "Clémentines", "Citrons", "Bananes", "Mangues", "Pamplemousses"), ("à jus", "à dessert", "bio", "non traités", "de table"), _LOOSE, (150, 450)),
    Shelf(("Fruits et légumes", "Légumes", "Légumes frais"), AMBIENT, ("Tomates", "Courgettes", "Carottes", "Poireaux", "Aubergines", "Haricots verts", "Oignons", "Endives"), ("grappe", "bio", "de plein champ", "primeur", "lavées"), _LOOSE, (120, 490)),
    Shelf(("Fruits et légumes", "Légumes", "Pommes de terre"), AMBIENT, ("Pommes de terre Charlotte", "Pommes de terre Agata", "Pommes de terre Bintje"), ("vapeur", "four et purée", "frites", "bio"), (("1 kg", 1000), ("2,5 kg", 2500), ("5 kg", 5000)), (150, 590)),
    Shelf(("Fruits et légumes", "Légumes", "Salades et herbes"), CHILLED, ("Laitue", "Mâche", "Roquette", "Jeunes pousses", "Persil", "Ciboulette"), ("lavée", "bio", "extra-fine", "en barquette"), (("100 g", 100), ("125 g", 125), ("200 g", 200)), (99, 320)),
    Shelf(("Boucherie", "Bœuf et veau", "Pièces"), CHILLED, ("Rumsteck", "Entrecôte", "Bavette", "Escalope de veau", "Rôti de bœuf", "Paleron"), ("race charolaise", "label rouge", "de pays", "bio"), _LOOSE, (1290, 3290)),
    Shelf(("Boucherie", "Volaille", "Découpe"), CHILLED, ("Filets de poulet", "Cuisses de poulet", "Escalopes de dinde", "Aiguillettes de canard"), ("fermier", "label rouge", "bio", "élevé en plein air"), _LOOSE, (790, 2190)),
    Shelf(("Boucherie", "Haché et préparé", "Barquettes"), CHILLED, ("Steaks hachés", "Boulettes de bœuf", "Chipolatas", "Merguez", "Brochettes"), ("5 % mat. gr.", "15 % mat. gr.", "aux herbes", "pur bœuf"), _PACK, (350, 990)),
    Shelf(("Poissonnerie", "Marée", "Filets"), CHILLED, ("Dos de cabillaud", "Filet de saumon", "Filet de lieu noir", "Truite entière"), ("de ligne", "d'élevage", "bio", "MSC"), _LOOSE, (1290, 2990)),
    Shelf(("Poissonnerie", "Traiteur de la mer", "Fumés et crevettes"), CHILLED, ("Saumon fumé", "Truite fumée", "Crevettes cuites", "Surimi"), ("d'Écosse", "de Norvège", "bio", "décortiquées"), (("120 g", 120), ("200 g", 200), ("400 g", 400)), (290, 1290)),
    Shelf(("Fromages", "À la coupe", "Pâtes pressées"), CHILLED, ("Comté", "Cantal", "Emmental", "Tomme de Savoie", "Morbier", "Ossau-Iraty"), ("12 mois", "vieux", "fruité", "au lait cru", "jeune"), _LOOSE, (1190, 2890)),
    Shelf(("Fromages", "Préemballés", "Pâtes molles"), CHILLED, ("Camembert", "Brie", "Coulommiers", "Munster", "Bûche de chèvre", "Reblochon"), ("au lait cru", "de campagne", "affiné", "bio"), (("200 g", 200), ("250 g", 250), ("350 g", 350)), (169, 520)),
    Shelf(("Crèmerie", "Lait", "Lait longue conservation"), AMBIENT, ("Lait demi-écrémé", "Lait entier", "Lait écrémé", "Lait sans lactose"), ("UHT", "bio", "de montagne", "équitable"), (("1 l", 1000), ("6 x 1 l", 6000), ("50 cl", 500)), (89, 690)),
    Shelf(("Crèmerie", "Yaourts", "Yaourts et desserts"), CHILLED, ("Yaourt nature", "Yaourt aux fruits", "Fromage blanc", "Crème dessert", "Skyr", "Petits-suisses"), ("brassé", "vanille", "0 %", "fraise", "bio"), _POT, (95, 390)),
    Shelf(("Crèmerie", "Beurre, crème et œufs", "Beurre et crème"), CHILLED, ("Beurre", "Crème fraîche", "Crème liquide", "Margarine"), ("doux", "demi-sel", "épaisse", "légère", "bio"), (("125 g", 125), ("250 g", 250), ("500 g", 500)), (120, 480)),
    Shelf(("Crèmerie", "Beurre, crème et œufs", "Œufs"), AMBIENT, ("Œufs frais", "Œufs de poules élevées au sol", "Œufs plein air"), ("calibre moyen", "gros calibre", "bio", "label rouge"), (("x 6", 360), ("x 10", 600), ("x 12", 720)), (169, 490)),
    Shelf(("Charcuterie", "Jambon et saucisson", "Libre-service"), CHILLED, ("Jambon blanc", "Jambon cru", "Saucisson sec", "Rosette", "Bacon", "Lardons"), ("supérieur", "sans nitrite", "fumé", "sel réduit"), (("100 g", 100), ("200 g", 200), ("6 tranches", 240)), (189, 690)),
    Shelf(("Traiteur", "Plats cuisinés", "Frais"), CHILLED, ("Lasagnes", "Hachis parmentier", "Quiche lorraine", "Taboulé", "Pizza", "Gratin dauphinois"), ("recette maison", "bio", "au fromage", "aux légumes"), (("300 g", 300), ("500 g", 500), ("900 g", 900)), (250, 690)),
    Shelf(("Boulangerie", "Pain", "Pains emballés"), AMBIENT, ("Pain de mie", "Pain complet", "Baguette", "Pain de campagne", "Pains burger"), ("nature", "aux céréales", "sans sucres ajoutés", "bio"), (("250 g", 250), ("500 g", 500), ("x 4", 320)), (99, 350)),
    Shelf(("Boulangerie", "Viennoiserie", "Brioches"), AMBIENT, ("Brioche tressée", "Pains au lait", "Croissants", "Pains au chocolat"), ("pur beurre", "aux pépites", "bio", "tranchée"), (("x 6", 300), ("x 8", 360), ("400 g", 400)), (180, 420)),
    Shelf(("Épicerie salée", "Pâtes et riz", "Pâtes"), AMBIENT, ("Spaghetti", "Coquillettes", "Penne", "Tagliatelles", "Farfalle"), ("au blé dur", "complètes", "bio", "cuisson rapide"), _BOX, (85, 290)),
    Shelf(("Épicerie salée", "Pâtes et riz", "Riz et céréales"), AMBIENT, ("Riz basmati", "Riz rond", "Semoule", "Quinoa", "Boulgour"), ("bio", "long grain", "cuisson rapide", "de Camargue"), _BOX, (110, 450)),
    Shelf(("Épicerie salée", "Conserves", "Légumes en conserve"), AMBIENT, ("Haricots verts", "Petits pois", "Maïs", "Tomates pelées", "Pois chiches", "Ratatouille"), ("extra-fins", "au naturel", "bio", "cuisinés"), _CAN, (79, 290)),
    Shelf(("Épicerie salée", "Conserves", "Poissons en conserve"), AMBIENT, ("Thon", "Sardines", "Maquereaux", "Filets d'anchois"), ("à l'huile d'olive", "au naturel", "à la tomate", "au citron"), (("80 g", 80), ("135 g", 135), ("3 x 80 g", 240)), (140, 590)),
    Shelf(("Épicerie salée", "Sauces et condiments", "Sauces"), AMBIENT, ("Mayonnaise", "Moutarde de Dijon", "Ketchup", "Sauce tomate", "Pesto", "Vinaigrette"), ("à l'ancienne", "bio", "allégée", "au basilic"), (("190 g", 190), ("350 g", 350), ("500 g", 500)), (110, 390)),
    Shelf(("Épicerie salée", "Huiles et vinaigres", "Huiles"), AMBIENT, ("Huile d'olive", "Huile de tournesol", "Huile de colza", "Vinaigre balsamique"), ("vierge extra", "bio", "première pression", "douce"), (("50 cl", 500), ("75 cl", 750), ("1 l", 1000)), (190, 1090)),
    Shelf(("Épicerie salée", "Apéritif", "Chips et biscuits salés"), AMBIENT, ("Chips", "Cacahuètes", "Crackers", "Tortillas", "Noix de cajou"), ("nature", "au sel de mer", "barbecue", "à l'ancienne"), (("90 g", 90), ("150 g", 150), ("300 g", 300)), (99, 390)),
    Shelf(("Épicerie sucrée", "Petit déjeuner", "Céréales et biscottes"), AMBIENT, ("Muesli", "Flocons d'avoine", "Pétales de maïs", "Biscottes", "Granola"), ("au chocolat", "aux fruits", "complet", "bio"), _BOX, (150, 450)),
    Shelf(("Épicerie sucrée", "Petit déjeuner", "Confitures et pâtes à tartiner"), AMBIENT, ("Confiture", "Miel", "Pâte à tartiner", "Gelée", "Crème de marrons"), ("de fraises", "d'abricots", "de fleurs", "aux noisettes", "de framboises"), (("250 g", 250), ("370 g", 370), ("750 g", 750)), (160, 690)),
    Shelf(("Épicerie sucrée", "Biscuits et chocolat", "Biscuits"), AMBIENT, ("Sablés", "Galettes bretonnes", "Madeleines", "Cookies", "Gaufrettes", "Petits-beurre"), ("pur beurre", "au chocolat", "nappés", "bio"), (("150 g", 150), ("200 g", 200), ("400 g", 400)), (99, 350)),
    Shelf(("Épicerie sucrée", "Biscuits et chocolat", "Chocolat"), AMBIENT, ("Chocolat noir", "Chocolat au lait", "Chocolat blanc", "Chocolat pâtissier"), ("70 %", "aux noisettes", "dégustation", "bio"), (("100 g", 100), ("200 g", 200), ("2 x 100 g", 200)), (120, 420)),
    Shelf(("Épicerie sucrée", "Café et thé", "Café"), AMBIENT, ("Café moulu", "Café en grains", "Dosettes de café", "Café soluble"), ("pur arabica", "corsé", "décaféiné", "bio"), _BOX, (230, 990)),
    Shelf(("Épicerie sucrée", "Café et thé", "Thé et infusions"), AMBIENT, ("Thé vert", "Thé noir", "Infusion verveine", "Infusion tilleul"), ("bio", "à la menthe", "25 sachets", "nature"), (("25 sachets", 50), ("50 sachets", 100), ("vrac", 100)), (150, 490)),
    Shelf(("Épicerie sucrée", "Aides à la pâtisserie", "Farine et sucre"), AMBIENT, ("Farine de blé", "Sucre en poudre", "Sucre roux", "Levure", "Sucre vanillé"), ("T45", "T55", "bio", "fluide"), _BOX, (75, 290)),
    Shelf(("Boissons", "Eaux", "Eaux minérales"), AMBIENT, ("Eau de source", "Eau minérale", "Eau gazeuse"), ("plate", "finement pétillante", "citron", "de montagne"), (("50 cl", 500), ("1,5 l", 1500), ("6 x 1,5 l", 9000)), (35, 420)),
    Shelf(("Boissons", "Jus et sodas", "Jus de fruits"), AMBIENT, ("Jus d'orange", "Jus de pomme", "Nectar d'abricot", "Jus multifruits"), ("pur jus", "avec pulpe", "bio", "sans sucres ajoutés"), _BOTTLE, (120, 390)),
    Shelf(("Boissons", "Jus et sodas", "Sodas et sirops"), AMBIENT, ("Limonade", "Cola", "Thé glacé", "Sirop de grenadine", "Sirop de menthe"), ("artisanal", "zéro", "pêche", "citron"), _BOTTLE, (99, 350)),
    Shelf(("Boissons", "Cave", "Vins et cidres"), AMBIENT, ("Côtes-du-rhône", "Bordeaux", "Muscadet", "Cidre", "Crémant"), ("rouge", "blanc", "rosé", "brut", "bio"), (("37,5 cl", 375), ("75 cl", 750), ("3 l", 3000)), (290, 1490)),
    Shelf(("Surgelés", "Légumes surgelés", "Légumes"), FROZEN, ("Épinards", "Brocolis", "Petits pois", "Poêlée campagnarde", "Haricots verts"), ("en branches", "bio", "extra-fins", "cuisinés"), (("450 g", 450), ("600 g", 600), ("1 kg", 1000)), (150, 450)),
    Shelf(("Surgelés", "Plats surgelés", "Plats et pizzas"), FROZEN, ("Pizza", "Poisson pané", "Frites", "Nuggets de poulet", "Lasagnes"), ("quatre fromages", "royale", "au four", "à la bolognaise"), (("400 g", 400), ("600 g", 600), ("1 kg", 1000)), (220, 590)),
    Shelf(("Surgelés", "Glaces", "Glaces et sorbets"), FROZEN, ("Crème glacée", "Sorbet", "Cônes", "Bâtonnets", "Bûche glacée"), ("vanille", "chocolat", "framboise", "caramel", "citron"), (("x 4", 320), ("500 ml", 350), ("1 l", 600)), (190, 590)),
    Shelf(("Hygiène", "Corps", "Douche et savon"), AMBIENT, ("Gel douche", "Savon de Marseille", "Shampooing", "Dentifrice", "Déodorant"), ("surgras", "amande douce", "menthe", "familial"), (("100 ml", 100), ("250 ml", 250), ("2 x 250 ml", 500)), (150, 490)),
    Shelf(("Entretien", "Lessive et vaisselle", "Produits d'entretien"), AMBIENT, ("Lessive liquide", "Liquide vaisselle", "Nettoyant multi-usages", "Tablettes lave-vaisselle"), ("au savon de Marseille", "citron", "écologique", "sensitive"), (("500 ml", 500), ("1 l", 1000), ("2 l", 2000)), (130, 990)),
    Shelf(("Entretien", "Papier", "Papier et sacs"), AMBIENT, ("Papier toilette", "Essuie-tout", "Mouchoirs", "Sacs poubelle"), ("compact", "double épaisseur", "recyclé", "doux"), (("x 4", 400), ("x 8", 800), ("x 12", 1200)), (160, 690)),
    Shelf(("Bébé et animaux", "Animaux", "Chiens et chats"), AMBIENT, ("Croquettes chat", "Croquettes chien", "Terrine chat", "Litière"), ("au poulet", "au bœuf", "au saumon", "stérilisé"), (("400 g", 400), ("2 kg", 2000), ("4 kg", 4000)), (120, 1190)),
)  # fmt: skip
