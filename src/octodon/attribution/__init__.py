"""Attribution: which bases a prediction, or its uncertainty, rests on."""
