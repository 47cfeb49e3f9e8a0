"""A recurrent network that makes up names of plants, letter by letter, after those it has read.

Prints how many bits a letter takes, names that it finds likely, and new ones at three temperatures.
"""

from skml import RNNLanguageModel

PLANTS = """
alder ash aspen balsam bamboo basil beech betony birch borage box bramble broom bryony burdock buttercup campion
carrot celandine chamomile cherry chervil chestnut chicory clover coltsfoot comfrey coriander cornflower cowslip cress
crocus currant daffodil daisy dandelion dill dock elder elm eyebright fennel fern figwort foxglove fumitory garlic
gentian ginger gorse groundsel hawthorn hazel heather hellebore hemlock hemp hibiscus holly honeysuckle hop hornbeam
horsetail hyacinth hyssop iris ivy jasmine juniper knapweed larch larkspur laurel lavender leek lilac lily lime lovage
lupin madder mallow maple marigold marjoram meadowsweet medlar melissa milfoil mint mistletoe mugwort mulberry mullein
mustard myrtle nasturtium nettle nightshade oak oats oleander olive onion orchid oregano oxlip parsley parsnip pea pear
peony pepper periwinkle pine plantain plum poplar poppy primrose privet quince ragwort ramson rosemary rowan rue rush
saffron sage savory saxifrage sedge sorrel speedwell spindle spruce spurge strawberry sundew sunflower tansy tarragon
teasel thistle thyme toadflax tormentil valerian vervain vetch violet walnut watercress willow woodruff yarrow yew
"""


def main():
    """Fit and write."""
    names = PLANTS.split()
    settings = {"batching": "pad", "dropout": 0.3, "random_state": 0}
    model = RNNLanguageModel("lstm", hidden_size=96, max_iter=30, **settings).fit(names)
    bits = model.bits_per_character(names)
    print(f"{model.n_parameters_:,} parameters, {model.n_iter_} epochs, {bits:.2f} bits a letter")
    for temperature in (0.5, 0.8, 1.1):
        drawn = model.generate("", strategy="sample", temperature=temperature, n_samples=30, random_state=0)
        fresh = [name for name in dict.fromkeys(drawn) if name not in names]
        print(f"temperature {temperature}: {', '.join(fresh[:8])}")
    print("after 'ro':", ", ".join("ro" + end for end in model.generate("ro", strategy="beam", n_samples=4)))
    odd = sorted(names, key=lambda name: model.score([name]))[:5]
    print("the strangest:", ", ".join(odd))


if __name__ == "__main__":
    main()
