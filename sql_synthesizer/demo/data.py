"""The rows of the demo shop: names, prices and habits from a seeded generator."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Iterator
from typing import Any

TableRow = tuple[Any, ...]

SEED = 20261031
FIRST_DAY = dt.date(2023, 1, 1)
LAST_DAY = dt.date(2026, 10, 31)
DAYS = (LAST_DAY - FIRST_DAY).days
CUSTOMERS, ORDERS, REVIEWS = 2500, 9500, 5000

COUNTRIES = {
    ("Germany", "DE", "Europe"): ("Berlin", "Hamburg", "Munich", "Cologne", "Leipzig"),
    ("France", "FR", "Europe"): ("Paris", "Lyon", "Marseille", "Nantes"),
    ("Spain", "ES", "Europe"): ("Madrid", "Barcelona", "Valencia"),
    ("Italy", "IT", "Europe"): ("Rome", "Milan", "Turin"),
    ("United Kingdom", "GB", "Europe"): ("London", "Manchester", "Bristol", "Leeds"),
    ("Netherlands", "NL", "Europe"): ("Amsterdam", "Utrecht", "Rotterdam"),
    ("Poland", "PL", "Europe"): ("Warsaw", "Krakow", "Gdansk"),
    ("Sweden", "SE", "Europe"): ("Stockholm", "Gothenburg"),
    ("United States", "US", "North America"): ("New York", "Chicago", "Seattle", "Austin", "Boston", "Denver"),
    ("Canada", "CA", "North America"): ("Toronto", "Montreal", "Vancouver"),
    ("Mexico", "MX", "North America"): ("Mexico City", "Guadalajara"),
    ("Brazil", "BR", "South America"): ("Sao Paulo", "Rio de Janeiro"),
    ("Japan", "JP", "Asia"): ("Tokyo", "Osaka", "Kyoto"),
    ("India", "IN", "Asia"): ("Mumbai", "Delhi", "Bangalore"),
    ("Australia", "AU", "Oceania"): ("Sydney", "Melbourne", "Perth"),
}
FIRST_NAMES = (
    "Anna Ben Carla David Elena Felix Greta Hugo Ines Jonas Katja Lukas Maria Noah Olivia Paul Rosa Simon Tara Viktor "
    "Alice Brian Chloe Daniel Emma Frank Grace Henry Isla Jack Kate Liam Mia Nina Oscar Priya Ravi Sofia Tom Yuki"
).split()
LAST_NAMES = (
    "Adams Baker Costa Dubois Evans Fischer Garcia Hansen Ivanov Jones Kim Larsen Martin Novak Olsen Park Quinn Rossi "
    "Silva Tanaka Ueda Vogel Weber Young Zimmer Brown Clark Diaz Engel Ford Gupta Hall Jansen Keller Lopez Meyer Nolan"
).split()
CATEGORIES = {
    "Audio": (40, ("Headphones", "Speaker", "Earbuds", "Microphone")),
    "Computers": (600, ("Laptop", "Monitor", "Keyboard", "Docking Station")),
    "Phones": (350, ("Smartphone", "Phone Case", "Charger", "Power Bank")),
    "Kitchen": (60, ("Kettle", "Blender", "Toaster", "Espresso Machine")),
    "Furniture": (220, ("Desk", "Office Chair", "Bookshelf", "Lamp")),
    "Sports": (50, ("Yoga Mat", "Dumbbell Set", "Running Shoes", "Bike Helmet")),
    "Toys": (25, ("Puzzle", "Board Game", "Building Blocks", "Toy Train")),
    "Books": (18, ("Cookbook", "Atlas", "Novel", "Biography")),
    "Garden": (45, ("Watering Can", "Garden Hose", "Lawn Mower", "Plant Pot")),
    "Clothing": (35, ("Jacket", "T-Shirt", "Jeans", "Wool Sweater")),
}
LINES = "Basic Classic Comfort Eco Lite Plus Prime Pro".split()
SUPPLIERS = "Alder Birch Cedar Elm Fir Hazel Juniper Larch Maple Oak Pine Rowan Spruce Willow Yew Ash".split()
DEPARTMENTS = {"Sales": "Sales Representative", "Support": "Support Agent", "Logistics": "Warehouse Clerk"}
SEGMENTS = (("consumer", 70), ("small business", 22), ("enterprise", 8))
CHANNELS = (("web", 60), ("mobile", 30), ("phone", 10))
METHODS = (("credit card", 50), ("paypal", 30), ("bank transfer", 15), ("gift card", 5))
CARRIERS = (("DHL", 45), ("UPS", 30), ("FedEx", 25))
REASONS = (("damaged", 30), ("wrong item", 20), ("not as described", 20), ("changed mind", 30))
COMMENTS = {
    1: ("Broke after a week.", "Not what I ordered.", "Very disappointed."),
    2: ("Worse than expected.", "Feels cheap.", "Took too long to arrive."),
    3: ("Does its job.", "Average for the price.", "Fine, nothing special."),
    4: ("Good value.", "Works well.", "Happy with it, would buy again."),
    5: ("Excellent!", "Exactly what I needed.", "Best purchase this year."),
}


class Shop:
    """Makes the rows of every table, in an order that satisfies the foreign keys."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self._cities = [(city, i) for i, cities in enumerate(COUNTRIES.values(), 1) for city in cities]
        self._signups: list[dt.date] = []
        self._prices: list[float] = []
        self._orders: list[TableRow] = []
        self._items: list[TableRow] = []
        self._totals: dict[int, float] = {}

    def tables(self) -> Iterator[tuple[str, Iterable[TableRow]]]:
        """Each table with its rows, in the order of their ids; rows are made as they are read, table by table."""
        yield "countries", COUNTRIES
        yield "cities", self._cities
        yield "customers", self._make_customers()
        yield "categories", [(name,) for name in CATEGORIES]
        yield "suppliers", [(f"{name} Trading", self._random_number(len(COUNTRIES))) for name in SUPPLIERS]
        yield "products", self._make_products()
        yield "employees", self._make_employees()
        self._place_orders()
        yield "orders", self._orders
        yield "order_items", self._items
        yield "payments", self._make_payments()
        yield "shipments", self._make_shipments()
        yield "returns", self._make_returns()
        yield "reviews", self._make_reviews()

    def _random_number(self, count: int) -> int:
        return self._random.randint(1, count)

    def _weighted_choice(self, weighted: tuple[tuple[str, int], ...]) -> str:
        return self._random.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]

    def _later_day(self, day: dt.date, most: int) -> dt.date:
        return min(LAST_DAY, day + dt.timedelta(days=self._random_number(most)))

    def _make_customers(self) -> Iterator[TableRow]:
        for i in range(1, CUSTOMERS + 1):
            first, last = self._random.choice(FIRST_NAMES), self._random.choice(LAST_NAMES)
            signup = FIRST_DAY + dt.timedelta(days=int(DAYS * self._random.random() ** 1.3))
            self._signups.append(signup)
            email = f"{first}.{last}{i}@example.com".lower()
            phone = f"+1-555-{i // 10000:03d}-{i % 10000:04d}"
            city = self._random_number(len(self._cities))
            segment = self._weighted_choice(SEGMENTS)
            yield first, last, email, phone, city, segment, signup, self._random.random() < 0.4

    def _make_products(self) -> Iterator[TableRow]:
        for category, (base, kinds) in enumerate(CATEGORIES.values(), 1):
            for kind in kinds:
                for step, line in enumerate(LINES):
                    price = round(base * (0.4 + 0.3 * step) * self._random.uniform(0.8, 1.2), 0) + 0.99
                    cost = round(price * self._random.uniform(0.45, 0.75), 2)
                    self._prices.append(price)
                    stock = self._random.choice((0, self._random_number(20), self._random_number(400)))
                    supplier = self._random_number(len(SUPPLIERS))
                    yield f"{kind} {line}", category, supplier, price, cost, stock, self._random.random() < 0.06

    def _make_employees(self) -> Iterator[TableRow]:
        for i in range(1, 37):
            department = list(DEPARTMENTS)[i % 3]
            manager = None if i <= 3 else 3 if department == "Sales" else i % 3 or 3
            title = f"Head of {department}" if manager is None else DEPARTMENTS[department]
            hired = (
                FIRST_DAY - dt.timedelta(days=self._random_number(2500))
                if i <= 3
                else self._later_day(FIRST_DAY, DAYS - 300)
            )
            thousands = self._random.randrange(90, 120) if manager is None else self._random.randrange(32, 70)
            names = self._random.choice(FIRST_NAMES), self._random.choice(LAST_NAMES)
            yield *names, title, department, hired, thousands * 1000.0, manager

    def _place_orders(self) -> None:
        """Orders grow over the years, peak before the holidays, and come mostly from a few faithful customers."""
        days = []
        for _ in range(ORDERS):
            day = FIRST_DAY + dt.timedelta(days=int(DAYS * self._random.random() ** 0.75))
            if day.month not in {11, 12} and self._random.random() < 0.12 and day.year < LAST_DAY.year:
                day = day.replace(month=self._random.choice((11, 12)), day=min(day.day, 30))
            days.append(day)
        for i, day in enumerate(sorted(days), 1):
            customer = self._choose_buyer(day)
            salesperson = self._random.choice(range(3, 37, 3)) if self._random.random() < 0.3 else None
            self._orders.append((customer, salesperson, day, self._choose_status(day), self._weighted_choice(CHANNELS)))
            self._fill_order(i)

    def _choose_buyer(self, day: dt.date) -> int:
        for _ in range(20):
            customer = int(CUSTOMERS * self._random.random() ** 1.8)
            if self._signups[customer] <= day:
                return customer + 1
        return 1 + min(range(CUSTOMERS), key=self._signups.__getitem__)

    def _choose_status(self, day: dt.date) -> str:
        if self._random.random() < 0.06:
            return "cancelled"
        age = (LAST_DAY - day).days
        return "delivered" if age > 10 else "shipped" if age > 3 else "pending"

    def _fill_order(self, order: int) -> None:
        total = 0.0
        products = self._random.sample(
            range(len(self._prices)), self._random.choices((1, 2, 3, 4), (42, 30, 18, 10))[0]
        )
        for line, product in enumerate(products, 1):
            quantity = self._random.choices((1, 2, 3, 5, 10), (65, 20, 8, 5, 2))[0]
            discount = self._random.choices((0.0, 0.05, 0.1, 0.2), (80, 8, 8, 4))[0]
            price = self._prices[product]
            self._items.append((order, line, product + 1, quantity, price, discount))
            total += round(quantity * price * (1 - discount), 2)
        self._totals[order] = round(total, 2)

    def _make_payments(self) -> Iterator[TableRow]:
        for order, (_, _, day, status, _) in enumerate(self._orders, 1):
            if status != "pending":
                state = "refunded" if status == "cancelled" else "paid"
                seconds = self._random.randrange(7 * 3600, 23 * 3600)
                paid = dt.datetime.combine(day, dt.time()) + dt.timedelta(seconds=seconds)
                yield order, self._totals[order], self._weighted_choice(METHODS), state, paid

    def _make_shipments(self) -> Iterator[TableRow]:
        for order, (_, _, day, status, _) in enumerate(self._orders, 1):
            if status in {"shipped", "delivered"}:
                shipped = self._later_day(day, 3)
                delivered = self._later_day(shipped, 7) if status == "delivered" else None
                state = "delivered" if delivered else "in transit"
                yield order, self._weighted_choice(CARRIERS), state, shipped, delivered

    def _make_returns(self) -> Iterator[TableRow]:
        for order, line, _, quantity, price, discount in self._items:
            _, _, day, status, _ = self._orders[order - 1]
            if status == "delivered" and self._random.random() < 0.04:
                refund = round(quantity * price * (1 - discount), 2)
                yield order, line, self._later_day(day, 30), self._weighted_choice(REASONS), refund

    def _make_reviews(self) -> Iterator[TableRow]:
        for _ in range(REVIEWS):
            order, _, product, *_ = self._random.choice(self._items)
            customer, _, day, *_ = self._orders[order - 1]
            rating = self._random.choices((1, 2, 3, 4, 5), (6, 8, 16, 32, 38))[0]
            yield product, customer, rating, self._random.choice(COMMENTS[rating]), self._later_day(day, 60)
