// pLDDT as a colour theme of Mol*: the B-factor of an atom, in four flat bands.

import { StructureElement, Unit, Bond } from "molstar/lib/mol-model/structure.js";
import type { ColorTheme } from "molstar/lib/mol-theme/color.js";
import type { ThemeDataContext } from "molstar/lib/mol-theme/theme.js";
import type { Location } from "molstar/lib/mol-model/location.js";
import { Color } from "molstar/lib/mol-util/color/index.js";
import { ColorThemeCategory } from "molstar/lib/mol-theme/color/categories.js";
import { colourOf, numberOf } from "./colours.js";

const NONE = Color(0xaaaaaa);

function colour(location: Location): Color {
  const [unit, element] = StructureElement.Location.is(location)
    ? [location.unit, location.element]
    : Bond.isLocation(location)
      ? [location.aUnit, location.aUnit.elements[location.aIndex]!]
      : [undefined, undefined];
  if (!unit || element === undefined || !Unit.isAtomic(unit)) return NONE;
  return Color(numberOf(colourOf(unit.model.atomicConformation.B_iso_or_equiv.value(element))));
}

function theme(_: ThemeDataContext, props: object): ColorTheme<{}> {
  // No smoothing: a band has one colour.
  return { factory: theme, granularity: "group", preferSmoothing: false, color: colour, props, description: "pLDDT in four bands" };
}

export const PlddtTheme: ColorTheme.Provider<{}, "foldry-plddt"> = {
  name: "foldry-plddt",
  label: "pLDDT",
  category: ColorThemeCategory.Validation,
  factory: theme,
  getParams: () => ({}),
  defaultValues: {},
  isApplicable: (context) => !!context.structure,
};
